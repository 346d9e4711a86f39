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
    unsigned sides; /* the masks that this setting is for; 0 = all of the method's */
    atn_idx tokens; /* that it takes to leave something out; 0 = 96 */
} contract_case;

enum { BOTH = ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES };

static const contract_case contract_cases[] = {
    /* oracles */
    {"topk", "k=5", .dense = "k=96", .rising = "k=1|2|4|9|30"},
    {"topk", "k=3,block=8", .dense = "k=12", .rising = "k=1|2|5", .looks = BOTH},
    {"topk", "k=6,sink=1,window=2", .dense = "k=96", .rising = "k=3|4|9|30"},
    {"topp", "p=.7", .dense = "p=1", .rising = "p=.1|.4|.8|.95"},
    {"topp", "p=.7,level=head", .dense = "p=1", .rising = "p=.1|.4|.8|.95",
     .looks = BOTH},
    {"topp", "p=.7,block=8", .dense = "p=1", .rising = "p=.1|.4|.8|.95", .looks = BOTH},
    {"threshold", "t=.02", .dense = "t=0", .rising = "t=.3|.1|.02|0"},
    /* decompositions */
    {"svd", "rank=5,how=lapack", .dense = "rank=96", .looks = BOTH},
    {"svd", "rank=5,how=random", .dense = "rank=96", .looks = BOTH},
    {"ksparse", "k=5", .dense = "k=96", .rising = "k=1|2|4|9|30", .looks = BOTH},
    {"ksparse", "k=5,level=row", .dense = "k=96", .rising = "k=1|2|4|9|30"},
    {"ksparse", "k=5,level=row,renormalise=yes", .dense = "k=96"},
    {"sparse_lowrank", "numbers=12,how=lapack", .dense = "numbers=192", .looks = BOTH},
    {"sparse_lowrank", "numbers=12,how=random", .dense = "numbers=192", .looks = BOTH},
    {"rpca", "steps=8,numbers=12", .dense = "numbers=384", .looks = BOTH},
    {"cur", "rank=5", .dense = "rank=96", .looks = BOTH},
    {"hodlr", "rank=1,leaf=8", .dense = "leaf=96", .looks = BOTH},
    /* lines and blocks */
    {"minference",
     "form=vertical_slash,v=5,s=5,last=16,v_first=1,s_first=1,v_least=0,s_least=0",
     .dense = "v=96", .rising = "ratio=.2|.5|1|3", .looks = BOTH},
    {"minference", "form=block,block=8,k=3", .dense = "k=12", .rising = "k=1|2|5",
     .looks = BOTH},
    {"minference", "form=a_shape,sink=2,window=5", .dense = "window=96",
     .rising = "window=1|3|9"},
    {"minference", "form=tri,sink=2,window=5,tail=6", .dense = "tail=96",
     .rising = "window=1|3|9"},
    {"minference", "ratio=.01,last=16,v_first=1,s_first=1", .looks = BOTH},
    {"flexprefill", "block=8,min_budget=8,tau=0,gamma=.3", .dense = "gamma=1",
     .looks = BOTH},
    {"flexprefill", "block=8,min_budget=8,tau=9,gamma=.7", .dense = "gamma=1",
     .looks = BOTH},
    {"moba", "k=2,block=8", .dense = "k=12", .rising = "k=1|2|4|9"},
    {"ssa", "k=3,block=8", .dense = "k=12", .rising = "k=1|2|4|9"},
    {"nsa", "k=3,block=8", .dense = "k=12"},
    {.id = "nsa", .params = "k=3,block=8,window=6,cmp=.4,slc=.4,win=.2"},
    {"quest", "k=16,block=4,min_pages=1,dense=0", .dense = "k=96",
     .rising = "k=4|8|16|40"},
    {.id = "landmark", .params = "k=2"},
    {"draft", "cell=2x2,sparsity=.6", .dense = "sparsity=0"},
    {"dhsa", "density=.3,block=8", .dense = "density=1", .looks = ATN_LOOKS_QUERIES},
    {"dhsa_v1", "k=16,block=8,local=4,global=2", .dense = "k=96", .looks = BOTH},
    /* trees */
    {"hip", "k=8,block_q=8,window=4,refresh=1", .dense = "k=96", .looks = BOTH},
    {"hip", "k=8,block_q=4,window=8", .looks = ATN_LOOKS_QUERIES},
    {"infinite_hip", "k=8,block_q=8,sink=2,window=4,chunks=16x8x4,keep=32x16",
     .looks = BOTH},
    {"moa", "density=.4", .looks = BOTH, .tokens = 450},
    /* hashes and clusters */
    {"hyper", "block=8,samples=6,min=8,projections=3", .dense = "min=97",
     .looks = ATN_LOOKS_QUERIES},
    {"reformer", "bucket=8,n_hashes=2", .looks = BOTH},
    {"reformer", "bucket=8,n_hashes=2,shared=yes", .looks = ATN_LOOKS_QUERIES},
    {"routing", "clusters=4,window=16", .looks = BOTH},
    {"routing", "clusters=4,window=16,shared=yes", .looks = ATN_LOOKS_QUERIES},
    {.id = "combiner", .params = "form=fixed,block=8"},
    {.id = "combiner", .params = "form=fixed,block=8,pool=max"},
    {"combiner", "form=axial,m=8", .sides = ATN_CAUSAL},
    {.id = "combiner", .params = "form=fixed,block=8,own=no"},
    {"combiner", "form=columns,m=8,pool=max", .sides = ATN_CAUSAL},
    {"combiner", "form=logsparse", .sides = ATN_CAUSAL},
    {.id = "sea", .params = "k=5,columns=12"},
    {.id = "sea", .params = "k=5,columns=12,estimate=performer"},
    /* low rank and sampling */
    {.id = "kdeformer",
     .params = "block=8,samples=6,projections=3",
     .dense = "block=96"},
    {.id = "linformer", .params = "rank=12"},
    {"nystrom", "landmarks=8", .dense = "landmarks=96,iterations=0"},
    {.id = "nystrom", .params = "landmarks=5,iterations=0"},
    {.id = "skyformer", .params = "samples=8"},
    /* kernels */
    {.id = "performer", .params = "features=16"},
    {.id = "performer", .params = "features=17,kind=hyperbolic,norms=sqrt"},
    {.id = "performer", .params = "features=80,kind=trig,orthogonal=no"},
    {"performer", "features=16,eps=1e-4", .looks = ATN_LOOKS_KEYS},
    {"performer", "features=16,centre=yes", .looks = ATN_LOOKS_KEYS},
    {.id = "polynomial", .params = "degree=2"},
    {.id = "polynomial", .params = "degree=3"},
    {"polynomial", "degree=4,centre=yes", .looks = ATN_LOOKS_KEYS},
    {.id = "rff", .params = "features=16"},
    {.id = "scatterbrain", .params = "window=9,features=6"},
    {.id = "scatterbrain", .params = "window=4,features=3,kind=positive"},
    {"scatterbrain", "window=8,features=6,support=lsh,rounds=1", .dense = "window=96",
     .looks = BOTH},
    /* history */
    {.id = "h2o", .params = "heavy=4,recent=4"},
    {.id = "h2o", .params = "mode=causal,ratio=.2"},
    {"h2o", "mode=global,ratio=.2", .looks = BOTH},
    {.id = "snapkv", .params = "k=8,window=4"},
    {.id = "recycled", .params = "k=8,stride=4"},
    {"sparsed", "ratio=.3,block=8,skip=.4", .dense = "skip=1"},
    {"rettention", "ratio=.2,t0=1", .dense = "t0=9"},
    {"stream_cache", "sink=2,window=9", .dense = "window=96"},
    /* recurrences */
    {.id = "rat", .params = "chunk=8,gate=.3"},
    {.id = "rat", .params = "chunk=4,gate=0", .dense = "chunk=1"},
    {.id = "titans", .params = "chunk=4"},
    {.id = "aaren", .params = ""},
    {.id = "aaren", .params = "query=40", .looks = ATN_LOOKS_QUERIES},
    {.id = "flow", .params = ""},
    {.id = "flow", .params = "clamp=none,eps=0"},
    {.id = "lightning", .params = "norm=srms"},
    {.id = "lightning", .params = "convention=fla"},
    /* static patterns */
    {.id = "bigbird", .params = "block=4,random=2"},
    {"block_diagonal", "block=12", .dense = "block=96"},
    {"dilated", "window=6", .rising = "window=2|4|9"},
    {"documents", "lengths=32", .dense = "lengths=96"},
    {"fixed", "stride=12,summary=2", .rising = "summary=1|3|6"},
    {.id = "gna", .params = "window=2x3x5"}, /* of a grid of 2 x 6 x 8 */
    {"logsparse", "window=3", .dense = "window=96", .rising = "window=1|4|20"},
    {"longformer", "window=5,first=1", .dense = "window=96", .rising = "window=1|4|20"},
    {.id = "longnet", .params = "segments=8x32,dilations=1x4"},
    {"power", "block=4,window=2", .dense = "window=24", .rising = "window=1|3|7"},
    {"random_blocks", "block=4,density=.3", .dense = "density=1",
     .rising = "density=.05|.2|.6"},
    {"s2", "block=4,local=2", .dense = "stride=1"},
    {"stream", "sink=2,window=5", .dense = "window=96", .rising = "window=1|3|9"},
    {"strided", "stride=12,local=6", .dense = "stride=1", .rising = "local=1|4|9"},
    {"vertical_slash", "columns=3x40,diagonals=7x20", .rising = "window=1|4|9"},
    {"window", "window=9", .dense = "window=96", .rising = "window=1|4|20"},
};
