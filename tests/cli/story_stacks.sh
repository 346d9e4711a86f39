# tests/cli/story_stacks.sh -- an encoder, a decoder and cross-attention in one capture.
make_dump E steps=1 layers=1 heads=2 kv_heads=2 n=48
make_dump D steps=1 layers=1 heads=2 kv_heads=2 n=32
make_dump X steps=1 layers=1 heads=2 kv_heads=2 n=32 nk=48
attnscope import --q encoder=E/q.npy,decoder=D/q.npy,cross=X/q.npy \
    --k encoder=E/k.npy,decoder=D/k.npy,cross=X/k.npy \
    --v encoder=E/v.npy,decoder=D/v.npy,cross=X/v.npy --steps -o R
# what asks for a place of the query is empty for cross-attention, the rest is not
attnscope stats R --measure entropy,local,distance --format csv >s.csv 2>err
cat s.csv err
grep -q '^stack,layer,head,pattern,' s.csv
grep -q 'no place among the keys; .*(local, distance)' err
grep -Eq '^cross,0,0,noncausal_cross,3\.52[0-9]*,[0-9.]+,[0-9.]+,[0-9.]+,,,,,$' s.csv
grep -q '^encoder,0,0,noncausal_self,[0-9]' s.csv
attnscope stats R --stack encoder --measure local --format csv >e.csv 2>err
! grep -q 'cross' e.csv err
# a curve over distances has no number there, and others have
attnscope plot distance R -o d.csv
! grep '^cross,' d.csv | grep -qv ',$'
grep -q '^decoder,.*[0-9]$' d.csv
# stacks are compared within themselves
attnscope similarity R --format csv >m.csv 2>o
grep -Eq '^cross,0,0,(1|0\.99999)' m.csv
# a field grows through self-attention only
attnscope field R --format csv >f.csv 2>err
grep -q "cross is left out" err
grep -q "^decoder," f.csv
code=0
attnscope field R --stack cross >o 2>err || code=$?
[ "$code" -eq 64 ]
grep -q 'are not the same tokens' err
attnscope approx R --method topk:k=8,svd --format csv >a.csv 2>o
grep -q '^cross,0,0,' a.csv
attnscope bounds R --bound B10,V4 --format csv >b.csv 2>o
attnscope report R -o r.html 2>o
grep -q noncausal_cross r.html
