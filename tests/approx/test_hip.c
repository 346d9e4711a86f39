#include "tests/approx/zoo.h"
static void golden(atn_ctx *cx)
{
    zoo z;
    zoo_second(&z);
    zoo_golden(cx, &z, "hip:k=8,block_q=4,block=2,window=4", 0, 19, "0-3,6,7,10,11,16-19",
               .638113, 8.820159);
    zoo_golden(cx, &z, "hip:k=8,block_q=4,block=2,window=4", 0, 23,
               "0,1,6,7,10,11,14,15,20-23", .624924, 11.914040);
    zoo_free(&z);
}
CHECK_MAIN({"golden", golden})
