# tests/docs/dead_links.sh -- sourced: dead_links prints every relative link of README,
# CONTRIBUTING and docs/ under the current folder that leads nowhere, and fails if there is one.
dead_links() {
    dead=0
    for page in README.md CONTRIBUTING.md $(find docs -name '*.md'); do
        for target in $(grep -o ']([^)# ]*' "$page" | cut -c3- | grep -v '^[a-z]*:'); do
            [ -e "$(dirname "$page")/$target" ] || { echo "$page: $target is not there"; dead=1; }
        done
    done
    return $dead
}
