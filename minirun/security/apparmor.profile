# What containers are confined with where AppArmor is enabled (apparmor.d(5)). minirun loads it when it is not loaded.
# Mounts, masks, capabilities and the filter of system calls stand before it: it holds where one of them gives way.
profile minirun-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  unix,
  dbus,

  # Among themselves; and what runs on the host may signal them.
  signal (send, receive) peer=minirun-default,
  signal (receive) peer=unconfined,
  ptrace (trace, read, tracedby, readby) peer=minirun-default,

  deny mount,
  deny pivot_root,
  deny change_profile,

  deny /proc/sys/** wklx,
  deny /proc/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** wklx,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/{kcore,keys,kmem,mem,timer_list,sched_debug} rwklx,

  deny /sys/[^f]** wklx,
  deny /sys/f[^s]** wklx,
  deny /sys/fs/[^c]** wklx,
  deny /sys/fs/c[^g]** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
