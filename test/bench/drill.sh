# Drills all images of a pool, one after another, with rbd alone. $A and $B are the
# options that reach the primary and the secondary; $1 is the pool.
# shellcheck disable=SC2086 # they are meant to split
pool=$1
space=$pool/script
snap=script-$$
rbd $B namespace create "$space"
for image in $(rbd $A ls "$pool"); do
	carry=:
	case $image in by-snapshot-*) carry="rbd $A mirror image snapshot $pool/$image" ;; esac
	rbd $A snap create --no-progress "$pool/$image@$snap"
	$carry >/dev/null
	until rbd $B snap ls "$pool/$image" | grep -q "$snap"; do sleep 0.1; done
	rbd $B clone --rbd-default-clone-format=2 "$pool/$image@$snap" "$space/$image"
	rbd $B export --no-progress "$space/$image" - >/dev/null
	rbd $B rm --no-progress "$space/$image"
	rbd $A snap rm --no-progress "$pool/$image@$snap"
	$carry >/dev/null
	while rbd $B snap ls "$pool/$image" | grep -q "$snap"; do sleep 0.1; done
done
rbd $B namespace rm "$space"
