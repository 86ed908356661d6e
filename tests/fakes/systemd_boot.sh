#!/bin/bash
# Becomes a systemd of its own, in namespaces that the caller has made: root is an overlay over this host's, so
# nothing that it does is seen outside. $1: a folder with `system/` (units), `run.sh` and `out/`.
set -euo pipefail
dir=$1
mount --make-rprivate /
mkdir "$dir/work"
mount -t tmpfs tmpfs "$dir/work"
mkdir "$dir"/work/{up,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/work/up,workdir=$dir/work/work" "$dir/work/root"
cd "$dir/work/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
touch "$dir/out/console" dev/console
mount --bind "$dir/out/console" dev/console
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p run/systemd opt/out old
cp -r "$dir/system" run/systemd/system
cp "$dir/run.sh" opt/run.sh
mount --bind "$dir/out" opt/out
grep -q '^clawd:' etc/passwd || echo 'clawd:x:61777:61777::/var/lib/clawd:/usr/sbin/nologin' >>etc/passwd
grep -q '^clawd:' etc/group || echo 'clawd:x:61777:' >>etc/group
# Not chroot: the kernel forbids user namespaces in one.
pivot_root . old
cd /
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=probe.target --log-target=console
