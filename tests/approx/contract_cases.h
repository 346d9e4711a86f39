/* tests/approx/contract_cases.h -- settings at which the methods leave something out of
 * 96 tokens. A method without a line here is tested at its defaults. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

typedef struct contract_case {
    const char *id, *params;
    /* one more, with which it is dense attention; NULL = not asked */
    const char *dense;
    /* "k=1|2|4": a fixed ranking is cut, so a row never loses mass; NULL = not so */
    const char *rising;
    unsigned looks; /* what the card says that it knows of what comes later */
} contract_case;

enum { BOTH = ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES };

static const contract_case contract_cases[] = {
    /* oracles */
    {"topk", "k=5", "k=96", "k=1|2|4|9|30", 0},
    {"topk", "k=3,block=8", "k=12", "k=1|2|5", BOTH},
    {"topk", "k=6,sink=1,window=2", "k=96", "k=3|4|9|30", 0},
    {"topp", "p=.7", "p=1", "p=.1|.4|.8|.95", 0},
    {"topp", "p=.7,level=head", "p=1", "p=.1|.4|.8|.95", BOTH},
    {"topp", "p=.7,block=8", "p=1", "p=.1|.4|.8|.95", BOTH},
    {"threshold", "t=.02", "t=0", "t=.3|.1|.02|0", 0},
    /* lines and blocks */
    {"minference",
     "form=vertical_slash,v=5,s=5,last=16,v_first=1,s_first=1,v_least=0,"
     "s_least=0",
     "v=96", "ratio=.2|.5|1|3", BOTH},
    {"minference", "form=block,block=8,k=3", "k=12", "k=1|2|5", BOTH},
    {"minference", "form=a_shape,sink=2,window=5", "window=96", "window=1|3|9", 0},
    {"minference", "form=tri,sink=2,window=5,tail=6", "tail=96", "window=1|3|9", 0},
    {"minference", "ratio=.01,last=16,v_first=1,s_first=1", NULL, NULL, BOTH},
    {"flexprefill", "block=8,min_budget=8,tau=0,gamma=.3", "gamma=1", NULL, BOTH},
    {"flexprefill", "block=8,min_budget=8,tau=9,gamma=.7", "gamma=1", NULL, BOTH},
    {"moba", "k=2,block=8", "k=12", "k=1|2|4|9", 0},
    {"ssa", "k=3,block=8", "k=12", "k=1|2|4|9", 0},
    {"nsa", "k=3,block=8", "k=12", NULL, 0},
    {"nsa", "k=3,block=8,window=6,cmp=.4,slc=.4,win=.2", NULL, NULL, 0},
    {"quest", "k=16,block=4,min_pages=1,dense=0", "k=96", "k=4|8|16|40", 0},
    {"landmark", "k=2", NULL, NULL, 0},
    {"draft", "cell=2x2,sparsity=.6", "sparsity=0", NULL, 0},
    {"dhsa", "density=.3,block=8", "density=1", NULL, ATN_LOOKS_QUERIES},
    {"dhsa_v1", "k=16,block=8,local=4,global=2", "k=96", NULL, BOTH},
    /* trees */
    {"hip", "k=8,block_q=8,window=4,refresh=1", "k=96", NULL, BOTH},
    {"hip", "k=8,block_q=4,window=8", NULL, NULL, ATN_LOOKS_QUERIES},
    {"infinite_hip", "k=8,block_q=8,sink=2,window=4,chunks=16x8x4,keep=32x16", NULL,
     NULL, BOTH},
    /* hashes and clusters */
    {"hyper", "block=8,samples=6,min=8,projections=3", "min=97", NULL,
     ATN_LOOKS_QUERIES},
    {"reformer", "bucket=8,n_hashes=2", NULL, NULL, BOTH},
    {"reformer", "bucket=8,n_hashes=2,shared=yes", NULL, NULL, ATN_LOOKS_QUERIES},
    {"routing", "clusters=4,window=16", NULL, NULL, BOTH},
    {"routing", "clusters=4,window=16,shared=yes", NULL, NULL, ATN_LOOKS_QUERIES},
    /* history */
    {"h2o", "heavy=4,recent=4", NULL, NULL, 0},
    {"h2o", "mode=causal,ratio=.2", NULL, NULL, 0},
    {"h2o", "mode=global,ratio=.2", NULL, NULL, BOTH},
    {"snapkv", "k=8,window=4", NULL, NULL, 0},
    {"recycled", "k=8,stride=4", NULL, NULL, 0},
    {"sparsed", "ratio=.3,block=8,skip=.4", "skip=1", NULL, 0},
    {"rettention", "ratio=.2,t0=1", "t0=9", NULL, 0},
    {"stream_cache", "sink=2,window=9", "window=96", NULL, 0},
    /* static patterns */
    {"bigbird", "block=4,random=2", NULL, NULL, 0},
    {"block_diagonal", "block=12", "block=96", NULL, 0},
    {"dilated", "window=6", NULL, "window=2|4|9", 0},
    {"documents", "lengths=32", "lengths=96", NULL, 0},
    {"fixed", "stride=12,summary=2", NULL, "summary=1|3|6", 0},
    {"logsparse", "window=3", "window=96", "window=1|4|20", 0},
    {"longformer", "window=5,first=1", "window=96", "window=1|4|20", 0},
    {"longnet", "segments=8x32,dilations=1x4", NULL, NULL, 0},
    {"power", "block=4,window=2", "window=24", "window=1|3|7", 0},
    {"s2", "block=4,local=2", "stride=1", NULL, 0},
    {"stream", "sink=2,window=5", "window=96", "window=1|3|9", 0},
    {"strided", "stride=12,local=6", "stride=1", "local=1|4|9", 0},
    {"vertical_slash", "columns=3x40,diagonals=7x20", NULL, "window=1|4|9", 0},
    {"window", "window=9", "window=96", "window=1|4|20", 0},
};
