#!/bin/sh
# Shows what vectrove does: an import, searches with and without filters, and that nothing acknowledged is lost when the
# process is killed. Run by `make demo` from the repository's root.
#
#   VECTROVE_BIN    the vectrove binary (built with `--features cli`)
#   VECTROVE_DATA   a folder with base.jsonl, base.fbin, query.jsonl and query.fbin, instead of the sample

set -eu

vectrove=${VECTROVE_BIN:?set VECTROVE_BIN to the vectrove binary}
if [ -n "${VECTROVE_DATA:-}" ]; then
    base=$VECTROVE_DATA/base queries=$VECTROVE_DATA/query
else
    base=examples/data/debian queries=examples/data/queries
fi

work=$(mktemp -d)
importer= feeder=
clean_up() {
    [ -z "$importer" ] || kill -9 "$importer" 2>/dev/null || true
    [ -z "$feeder" ] || kill "$feeder" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
export VECTROVE_DB="$work/db"
export COLUMNS="${COLUMNS:-110}"

# The row of a held-out package in the query files.
row() { grep -n "\"id\": \"$1\"" "$queries.jsonl" | head -n 1 | cut -d : -f 1; }

# Searches with the vector of a held-out package: search NAME [OPTION…]
search() {
    row=$(row "$1")
    shift
    "$vectrove" search packages --vectors "$queries.fbin" --row "$row" --limit 5 "$@"
}

title() { printf '\n== %s\n' "$1"; }
asked() { sed -n "$(row "$1")p" "$queries.jsonl" | sed 's/.*"text": "\([^"]*\)".*/query: \1/'; }

title "Importing package descriptions with their embeddings"
"$vectrove" create packages --dimension 384
"$vectrove" import packages "$base.jsonl" --vectors "$base.fbin"

title "Nearest to descriptions that are not in the collection"
for query in pdfarranger age dirvish zynaddsubfx; do
    printf '\n'
    asked "$query"
    search "$query"
done

title "The same with filters on metadata"
printf '\n'
asked zynaddsubfx
filter='{"section": "sound", "installed_kb": {"$between": [100, 1500]}}'
echo "filter: $filter"
search zynaddsubfx --filter "$filter" --fields installed_kb
printf '\n'
asked age
filter='{"tags": {"$all": ["role::program", "interface::commandline"]}, "depends": {"$lte": 5}}'
echo "filter: $filter"
search age --filter "$filter" --fields depends

title "Like a stored document"
"$vectrove" search packages --like fluidsynth --limit 5

title "Killing an import in the middle (kill -9)"
rows=$work/rows.jsonl
# `head` leaves before `export` is done where there are more rows: that is no error.
"$vectrove" export packages | head -n 1300 > "$rows"
n_rows=$(wc -l < "$rows" | tr -d ' ')

# Hands out rows 50 at a time, with pauses: the import cannot be done before it is killed.
feed() {
    from=1
    while [ "$from" -le "$n_rows" ]; do
        sed -n "$from,$((from + 49))p" "$rows" || return 0
        from=$((from + 50))
        sleep 0.1
    done
}

acknowledged() { tail -n 1 "$work/acknowledged" | sed 's/.*"rows":\([0-9]*\).*/\1/'; }

"$vectrove" create copies --dimension 384
mkfifo "$work/pipe"
feed > "$work/pipe" 2> /dev/null &
feeder=$!
: > "$work/acknowledged"
"$vectrove" --json import copies - --batch 50 < "$work/pipe" > "$work/acknowledged" &
importer=$!

patience=600
seen=0
while [ "${seen:-0}" -lt 400 ]; do
    patience=$((patience - 1))
    if [ "$patience" -eq 0 ] || ! kill -0 "$importer" 2> /dev/null; then
        echo "the import does not get on" >&2
        exit 1
    fi
    sleep 0.1
    seen=$(acknowledged)
done
kill -9 "$importer"
wait "$importer" 2> /dev/null || true
importer=
kill "$feeder" 2> /dev/null || true
wait "$feeder" 2> /dev/null || true
feeder=

seen=$(acknowledged)
found=$("$vectrove" count copies)
echo "acknowledged before the kill: $seen of $n_rows rows"
echo "found after reopening:        $found"
[ "$found" -ge "$seen" ] || { echo "acknowledged rows are missing" >&2; exit 1; }
"$vectrove" verify

title "Going on where it stopped (--resume)"
"$vectrove" import copies - --resume < "$rows"
found=$("$vectrove" count copies)
echo "documents now: $found"
[ "$found" -eq "$n_rows" ] || { echo "expected $n_rows documents" >&2; exit 1; }
"$vectrove" export copies | cmp - "$rows"
echo "and an export of them is the same, byte for byte"
"$vectrove" verify
