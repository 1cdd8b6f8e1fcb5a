/*
 * What the fault injection puts between a process and the C library: a clock that is off, and a
 * disk that is full. Inert unless its variables are set.
 *
 *   FLUXUS_FAULT_CLOCK_MS   how far the wall clock is off, in milliseconds
 *   FLUXUS_FAULT_DISK       while a file of this name exists, no file below a folder `base` may
 *                           grow: what Postgres meets when the disk of its tables is full
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long clock_off_ms;
static const char *disk_is_full;

__attribute__((constructor)) static void read_environment(void)
{
	const char *off = getenv("FLUXUS_FAULT_CLOCK_MS");
	clock_off_ms = off ? atol(off) : 0;
	disk_is_full = getenv("FLUXUS_FAULT_DISK");
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	if (syscall(SYS_clock_gettime, clock, at) != 0)
		return -1;
	if (clock_off_ms != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		long nanos = at->tv_nsec + clock_off_ms % 1000 * 1000000;
		at->tv_sec += clock_off_ms / 1000 + nanos / 1000000000;
		at->tv_nsec = nanos % 1000000000;
		if (at->tv_nsec < 0) {
			at->tv_nsec += 1000000000;
			at->tv_sec -= 1;
		}
	}
	return 0;
}

static int refuses(int file, off_t end)
{
	char link[64], path[1024];
	struct stat now;

	if (!disk_is_full || access(disk_is_full, F_OK) != 0)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", file);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		return 0;
	path[length] = 0;
	return strstr(path, "/base/") && fstat(file, &now) == 0 && now.st_size < end;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at)
{
	if (refuses(file, at + (off_t)count)) {
		errno = ENOSPC;
		return -1;
	}
	return syscall(SYS_pwrite64, file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at)
{
	return pwrite64(file, bytes, count, at);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t at)
{
	off_t end = at;

	for (int part = 0; part < count; part++)
		end += (off_t)parts[part].iov_len;
	if (refuses(file, end)) {
		errno = ENOSPC;
		return -1;
	}
	/* The kernel takes the position in two halves; the high one is empty on 64 bits. */
	return syscall(SYS_pwritev, file, parts, count, at, 0);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at)
{
	return pwritev64(file, parts, count, at);
}

int posix_fallocate64(int file, off_t at, off_t length)
{
	if (refuses(file, at + length))
		return ENOSPC;
	return syscall(SYS_fallocate, file, 0, at, length) == 0 ? 0 : errno;
}

int posix_fallocate(int file, off_t at, off_t length)
{
	return posix_fallocate64(file, at, length);
}
