# tests/cli/story_report_window.sh -- the window that a report draws beside the heads' best keys
# keeps the number of pairs nearest to theirs: of all windows w, n w - w (w - 1) / 2.
attnscope field "$RUN" --from topk:k=8 --no-rollout --no-diameter -o f.csv -q
want=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
    NR > 1 { pairs += $at["pairs"]; n = $at["tokens"]; layers++ }
    END {
        for (w = 1; w <= n; w++) {
            off = w * n - w * (w - 1) / 2 - pairs / layers
            if (off < 0) off = -off
            if (w == 1 || off < least) { least = off; best = w }
        }
        print best
    }' f.csv.pattern.csv)
attnscope report "$RUN" -o r.html -q
grep -o 'plot growth [^<]*' r.html
grep -q "window:window=$want --from topk:k=8 -o growth.svg" r.html
