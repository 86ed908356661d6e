"""Who is at the other end of a socket."""

from __future__ import annotations

import os
import socket

from clawd.control.peers import Peer, peer_of


def test_the_kernel_tells_who_connected() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert peer.groups >= {os.getegid(), *os.getgroups()}


def test_our_user_root_and_members_of_the_group_may_enter() -> None:
    def peer(uid: int, *groups: int) -> Peer:
        return Peer(pid=1, uid=uid, groups=frozenset(groups))

    stranger = os.geteuid() + 4000
    assert peer(os.geteuid()).may_enter(None)
    assert peer(0).may_enter(None)
    assert peer(stranger, 7, 99).may_enter(99)
    assert not peer(stranger, 7).may_enter(99)
    assert not peer(stranger, 7).may_enter(None)
