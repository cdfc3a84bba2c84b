"""The system calls a container may make unless it is told otherwise: Docker's default policy.

The policy is Docker's (moby, profiles/seccomp); the arrangement is ours: by what a call is about, with braces standing
for variants, as in a shell: ``set{u,g}id{,32}`` is four names. Everything else fails with EPERM, so that a program
reads it as "not allowed". ``clone3`` alone fails with ENOSYS: its flags are behind a pointer that no filter can follow,
and C libraries fall back to clone(2), whose flags are looked at.

A call that this kernel, this library or this architecture does not know is of no consequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from containerkit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall

_ALLOW, _ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
_EPERM, _ENOSYS = 1, 38

#: Every container, whatever its capabilities.
_EVERYONE = {
    "files": """
        open{,at,at2} creat close{,_range} {read,write}{,v} {pread,pwrite}{64,v,v2} lseek _llseek readahead
        dup{,2,3} fcntl{,64} flock ioctl {,f}truncate{,64} fallocate fadvise64{,_64} copy_file_range
        {,f,fdata}sync syncfs sync_file_range sendfile{,64} splice tee vmsplice
    """,
    "names": """
        {sym,}link{,at} unlink{,at} rename{,at,at2} {mk,rm}dir mkdirat mknod{,at} readlink{,at} {,f}chdir getcwd
        getdents{,64} name_to_handle_at
    """,
    "attributes": """
        {,f,l}stat{,64} newfstatat fstatat64 statx {,f}statfs{,64} {list,stat}mount
        {,f}chmod fchmodat{,2} {,f,l}chown{,32} fchownat access faccessat{,2} umask
        utime{,s} utimensat{,_time64} futimesat {,f,l}{get,set,list,remove}xattr {get,set,list,remove}xattrat
    """,
    "watching": """
        {,_new}select pselect6{,_time64} {p,}poll ppoll_time64 epoll_create{,1} epoll_{ctl,wait}{,_old}
        epoll_pwait{,2} eventfd{,2} signalfd{,4} inotify_init{,1} inotify_{add,rm}_watch fanotify_mark
    """,
    "asynchronous": "io_{setup,destroy,submit,cancel,getevents} io_pgetevents{,_time64} ioprio_{get,set}",
    "memory": """
        brk mmap{,2} munmap mremap mprotect madvise mincore msync mseal remap_file_pages m{,un}lock{,all} mlock2
        memfd_{create,secret} pkey_{alloc,free,mprotect} membarrier map_shadow_stack process_mrelease cachestat
    """,
    "processes": """
        {,v}fork execve{,at} exit{,_group} wait4 wait{id,pid} {get,set}pgid getpgrp {get,set}sid get{p,pp,t}id
        pidfd_{open,send_signal} prctl seccomp landlock_{add_rule,create_ruleset,restrict_self}
        {get,set}priority sched_{get,set}{affinity,attr,param,scheduler} sched_get_priority_{min,max} sched_yield
        sched_rr_get_interval{,_time64} getcpu {get,set,uget}rlimit prlimit64 getrusage times
    """,
    "threads": """
        futex{,_time64,_requeue,_wait,_waitv,_wake} {get,set}_robust_list {get,set}_thread_area set_tid_address rseq
    """,
    "signals": """
        {,t,tg}kill pause sigaltstack {rt_,}sig{procmask,return} rt_sig{action,pending,suspend,queueinfo}
        rt_sigtimedwait{,_time64} rt_tgsigqueueinfo restart_syscall
    """,
    "identity": """
        get{,e}{u,g}id{,32} {get,set}res{u,g}id{,32} set{,re,fs}{u,g}id{,32} {get,set}groups{,32} cap{get,set}
    """,
    "time": """
        time gettimeofday adjtimex clock_{adj,get}time{,64} clock_{getres,nanosleep}{,_time64} nanosleep alarm
        {get,set}itimer timer_{create,delete,getoverrun} timer{,fd}_{get,set}time{,64} timerfd_create
    """,
    "sockets": """
        socketpair socketcall bind listen accept{,4} connect shutdown get{sock,peer}name {get,set}sockopt
        {send,recv}{,msg,mmsg} sendto recvfrom recvmmsg_time64
    """,
    "messages": """
        pipe{,2} ipc {msg,sem,shm}{get,ctl} msg{snd,rcv} semop semtimedop{,_time64} shm{at,dt}
        mq_{open,unlink,notify,getsetattr} mq_timed{send,receive}{,_time64}
    """,
    "system": "uname sysinfo getrandom riscv_hwprobe uretprobe",
}

#: With any of these capabilities, these calls.
_BY_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone{,3} unshare setns {u,}mount umount2 mount_setattr move_mount open_tree fsconfig fsmount fsopen fspick
        fanotify_init lookup_dcookie lsm_{list_modules,get_self_attr,set_self_attr} perf_event_open quotactl{,_fd}
        set{host,domain}name syslog
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "{,f}init_module delete_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "ptrace process_vm_{readv,writev} process_madvise kcmp pidfd_getfd",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime{,64}",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "{get_,set_}mempolicy set_mempolicy_home_node mbind",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

#: On these machines, these calls (names of ``uname -m``).
_ARM = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"
_S390 = "s390_pci_mmio_{read,write} s390_runtime_instr"
_BY_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "i686": "modify_ldt",
    "aarch64": _ARM,
    "armv7l": _ARM,
    "ppc64le": "sync_file_range2 swapcontext",
    "s390x": _S390,
    "s390": _S390,
    "riscv64": "riscv_flush_icache",
}

#: The architectures whose calls a process on this machine can make. Where none are listed it is the machine's own.
_ARCHITECTURES = {
    "x86_64": ("X86_64", "X86", "X32"),
    "aarch64": ("AARCH64", "ARM"),
    "mips64": ("MIPS64", "MIPS", "MIPS64N32"),
    "mipsel64": ("MIPSEL64", "MIPSEL", "MIPSEL64N32"),
    "s390x": ("S390X", "S390"),
    "riscv64": ("RISCV64",),
    "loongarch64": ("LOONGARCH64",),
}

#: clone(2)'s flags for new namespaces: mount, cgroup, UTS, IPC, user, pid and network.
_NEW_NAMESPACES = 0x7E020000
#: Execution domains: Linux, 32 bit, UNAME26 and both, and the question which one it is.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
#: Address families a socket may not be of: ALG (38: the kernel's cryptography) and VSOCK (40: past every namespace).
_AF_ALG, _AF_KCM, _AF_VSOCK = 38, 39, 40


def default_profile(capabilities: Iterable[str], machine: str, kernel: tuple[int, int]) -> Seccomp:
    """The policy for a container.

    Args:
        capabilities: what it holds, as ``CAP_NAME``; some open further calls.
        machine: as ``uname -m`` says.
        kernel: version and patch level, ``(6, 1)``.
    """
    return _profile(frozenset(capabilities), machine, kernel)


@cache
def _profile(held: frozenset[str], machine: str, kernel: tuple[int, int]) -> Seccomp:
    names = [text for capability, text in _BY_CAPABILITY.items() if capability in held]
    names += [*_EVERYONE.values(), _BY_MACHINE.get(machine, "")]
    # Until 4.8 a traced process could slip past the filter.
    if kernel >= (4, 8):
        names.append("ptrace process_vm_{readv,writev}")
    allowed = tuple(sorted({name for text in names for name in _expand(text)}))
    return Seccomp(
        default_action=_ERRNO,
        default_errno_ret=_EPERM,
        architectures=tuple(f"SCMP_ARCH_{name}" for name in _ARCHITECTURES.get(machine, ())),
        syscalls=(SeccompSyscall(allowed, _ALLOW), *_by_argument("CAP_SYS_ADMIN" in held, machine)),
    )


def _by_argument(is_admin: bool, machine: str) -> Iterator[SeccompSyscall]:
    for operator, family in (("LT", _AF_ALG), ("EQ", _AF_KCM), ("GT", _AF_VSOCK)):
        yield _when("socket", SeccompArg(0, family, f"SCMP_CMP_{operator}"))
    for personality in _PERSONALITIES:
        yield _when("personality", SeccompArg(0, personality, "SCMP_CMP_EQ"))
    if not is_admin:
        # s390 has clone's first two arguments the other way round.
        flags = 1 if machine.startswith("s390") else 0
        yield _when("clone", SeccompArg(flags, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ", 0))
        yield SeccompSyscall(("clone3",), _ERRNO, _ENOSYS)


def _when(name: str, argument: SeccompArg) -> SeccompSyscall:
    return SeccompSyscall((name,), _ALLOW, args=(argument,))


def _expand(text: str) -> Iterator[str]:
    """The words of ``text`` with their braces expanded; braces do not nest."""
    for word in text.split():
        yield from _variants(word)


def _variants(word: str) -> Iterator[str]:
    head, brace, rest = word.partition("{")
    if not brace:
        yield word
        return
    choices, _, tail = rest.partition("}")
    for ending in _variants(tail):
        for choice in choices.split(","):
            yield head + choice + ending
