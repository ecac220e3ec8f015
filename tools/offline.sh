# shellcheck shell=sh disable=SC2154 # `. tools/offline.sh`, in ./lab: set up from a bundle, with no network
# A bundle (tools/bundle.py) has this tree in fqdnlab/, and beside it wheels/, debs/, perhaps box/.
offline() { # offline DIR
	bundle=$(cd "$1" 2>/dev/null && pwd) || die "there is no folder $1"
	[ -e "$bundle/SHA256SUMS" ] && [ -e "$bundle/made-for" ] || die "$bundle is no bundle of fqdnlab's" \
		"Run this in the folder fqdnlab/ of a bundle ('./lab bundle DIR' makes one), or say where it is:" \
		"./lab install --offline DIR"
	check_machine
	check_sums
	work=$(mktemp -d "${TMPDIR:-/tmp}/fqdnlab-apt.XXXXXX")
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	# What is in the folder was checked against SHA256SUMS just now; its index is not signed.
	echo "deb [trusted=yes] $(url "$bundle/debs") ./" >"$work/sources.list"
	apt_options="--no-remove -o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null"
	apt_options="$apt_options -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root"
	apt update >"$work/log" 2>&1 || die "apt-get does not take $bundle/debs:" "$(cat "$work/log")"
	missing=$(tr '\n' ' ' <"$bundle/debs/names")
	# shellcheck disable=SC2086 # a list of names
	if ! apt -s install $missing >"$work/log" 2>&1; then
		tail -n 15 "$work/log" >&2
		die "the packages of this machine and of the bundle do not go together (see above)" \
			"Bring this machine to its Debian's last state (apt-get upgrade) once, or make the bundle anew."
	fi
	if grep -q '^Inst' "$work/log"; then install_packages; fi
	PIP_NO_INDEX=1 PIP_FIND_LINKS=$(url "$bundle/wheels") PIP_CONFIG_FILE=/dev/null
	export PIP_NO_INDEX PIP_FIND_LINKS PIP_CONFIG_FILE
	prepare notebook
	printf '%s\n' "# Made by ./lab install --offline: this environment knows no index.  Delete it to go online." \
		"[global]" "no-index = true" "find-links = $PIP_FIND_LINKS" >.venv/pip.conf
	add_box
	rm -rf "$work"
	say "set up, with no network.  Go on with:  sudo ./lab demo   sudo ./lab notebook"
	if have vagrant; then say "in virtual machines: vagrant/README.md, and  sudo ./lab doctor --workshop"; fi
}

url() { printf 'file://%s' "$1" | sed 's/%/%25/g; s/ /%20/g'; }

check_machine() {
	here=$(. /etc/os-release && echo "$ID ${VERSION_ID:-}") && here="$here $(dpkg --print-architecture 2>/dev/null)" || here=unknown
	made_for=$(cat "$bundle/made-for")
	[ "$here" = "$made_for" ] || die "the bundle is made for: $made_for; this machine is: $here" \
		"Its packages and wheels fit no other.  Use ./lab setup, with a network, instead."
}

# All of the bundle; what is worked with (the tree) only before it was set up.
check_sums() {
	sums=$bundle/SHA256SUMS
	say "checking $bundle"
	bad=$(cd "$bundle" && { if [ -e "$me/.venv" ]; then grep -v '  fqdnlab/' "$sums"; else cat "$sums"; fi; } |
		LC_ALL=C sha256sum --quiet --check - 2>&1 | grep -v WARNING) || :
	[ -z "$bad" ] || die "the bundle is not as it was made:" "$bad" "Copy it again."
}

add_box() {
	for box in "$bundle"/box/*.box; do
		[ -e "$box" ] && have vagrant || return 0
		say "vagrant box add fqdnlab/bookworm"
		VAGRANT_CHECKPOINT_DISABLE=1 vagrant box add --force --name fqdnlab/bookworm "$box" >&2 ||
			die "vagrant does not take $box (see above)"
	done
}
