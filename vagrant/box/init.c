/* SPDX-License-Identifier: Apache-2.0 */
/* The box's initramfs, whole: load the modules of virtio disks, mount the root, become its init.
 * Debian's own takes ten times as long where the machine is emulated. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/dev/vda"

/* In the order in which they need each other; what the kernel has built in is not there. */
static const char *const modules[] = {
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk",
};

static void load(const char *name)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (syscall(SYS_finit_module, fd, "", 0))
		perror(path);
	close(fd);
}

int main(void)
{
	char *const init[] = {"/sbin/init", NULL};

	mkdir("/dev", 0755);
	mkdir("/root", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	for (unsigned i = 0; i < sizeof(modules) / sizeof(*modules); i++)
		load(modules[i]);
	/* the disk is there a moment after its driver: 20 s at most */
	for (int tries = 0; mount(ROOT, "/root", "ext4", 0, NULL) && tries < 2000; tries++)
		usleep(10000);
	mount("/dev", "/root/dev", NULL, MS_MOVE, NULL);
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		perror("change to the root");
	execv(init[0], init);
	perror(init[0]);
	return 1;
}
