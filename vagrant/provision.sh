#!/bin/sh
# provision.sh NAME PATIENCE ROLE ADDRESS …: make this machine a place of fqdnlab's.  Idempotent.
set -eu
name=$1 patience=$2 role=$3 address=$4
shift 4
payload=/tmp/fqdnlab/payload.tar.gz
home=/opt/fqdnlab

echo "provision: $name on Linux $(uname -r)"
hostname "$name"
echo "$name" >/etc/hostname
grep -q " $name\$" /etc/hosts || echo "127.0.1.1 $name" >>/etc/hosts

rm -rf "$home/new" && mkdir -p "$home/new"
tar -C "$home/new" -xzf "$payload"
rm -f "$payload"
wanted=$(cat "$home/new/python")
have=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
[ "$have" = "$wanted" ] || {
	remedy="FQDNLAB_VM_PYTHON=$have, then fqdnlab vagrant up"
	[ "$have" != none ] || remedy="take a box that has one"
	echo "provision: this box has Python $have, the payload is for $wanted: $remedy" >&2
	exit 1
}

# The few packages that the box may lack, from the payload where it was made to be used offline.
missing=
for package in libbpf1 iproute2 nftables curl ca-certificates bind9-dnsutils iputils-ping; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
	echo "provision: installing$missing"
	# from the payload where it holds packages, else from the net
	if [ -e "$home/new/debs/Packages" ]; then
		mkdir -p "$home/new/lists/partial"
		echo "deb [trusted=yes] file:$home/new/debs ./" >"$home/new/sources.list"
		apt() {
			DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 -o Dir::Etc::SourceList="$home/new/sources.list" \
				-o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$home/new/lists" \
				-o APT::Sandbox::User=root "$@"
		}
	else
		apt() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@"; }
	fi
	apt update
	apt install -y --no-install-recommends $missing
fi

systemctl stop fqdnlab.service 2>/dev/null || :
rm -rf "$home/site" "$home/units"
mv "$home/new/site" "$home/new/units" "$home/"
[ -d "$home/site/fqdnlab/__pycache__" ] || python3 -m compileall -q "$home/site" >/dev/null
install -m 755 "$home/units/link" "$home/link"
payload_id=$(cat "$home/new/id")
rm -rf "$home/new"
python3 -c 'import sysconfig; print(sysconfig.get_path("purelib", "posix_local"))' | while read -r folder; do
	mkdir -p "$folder"
	echo "$home/site" >"$folder/fqdnlab.pth" # for root's Python and everybody's
done

mkdir -p /etc/fqdnlab
printf 'ADDRESS=%s\n' "$address" >/etc/fqdnlab/link
printf 'FQDNLAB_PATIENCE=%s\nFQDNLAB_PAYLOAD=%s\nPYTHONDONTWRITEBYTECODE=1\n' "$patience" "$payload_id" >/etc/fqdnlab/environment
cp "$home/units/fqdnlab.service" "$home/units/fqdnlab-link.service" /etc/systemd/system/
systemctl daemon-reload
systemctl --quiet enable fqdnlab-link.service fqdnlab.service
systemctl restart fqdnlab-link.service
python3 - "$role" "$address" "$(cat /run/fqdnlab-device)" "$@" >/etc/fqdnlab/place.json <<'END'
import json, sys

role, address, device, *more = sys.argv[1:]
place = {"role": role, "address": address, "device": device, "units": True}
if role == "internet":
    place["nodes"] = more
else:
    place["peer"], place["index"] = more[0], int(more[1])
print(json.dumps(place))
END
systemctl start fqdnlab.service
echo "provision: $name is $(cat /etc/fqdnlab/place.json)"
