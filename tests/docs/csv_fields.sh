# tests/docs/csv_fields.sh -- for awk programs of these tests: fields(line) puts those of a line of
# CSV, as RFC 4180 has it, in field[1..n] and returns n.
fields='
function fields(line,   n, c, quoted, text) {
    n = 0
    text = ""
    quoted = 0
    while (line != "") {
        c = substr(line, 1, 1)
        line = substr(line, 2)
        if (c == "\"" && quoted && substr(line, 1, 1) == "\"") {
            text = text c
            line = substr(line, 2)
        } else if (c == "\"") {
            quoted = !quoted
        } else if (c == "," && !quoted) {
            field[++n] = text
            text = ""
        } else {
            text = text c
        }
    }
    field[++n] = text
    return n
}'
