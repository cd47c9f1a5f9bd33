/* A library for LD_PRELOAD: sets the wall clock of a process, and fills its disk.
 *
 * The file that CHAOS_CONTROL names is shared with the program that controls both. `struct control` there:
 * an offset to the wall clock, and a budget of bytes after which writes to files fail with ENOSPC, as on a
 * full disk: the write that exceeds it is short, later ones fail. Sockets and pipes use other calls, or are
 * told apart by their type. Without the file, everything behaves as usual.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic int64_t offset_ns;   /* added to the wall clock */
    _Atomic int64_t budget;      /* bytes that fit on the disk; negative: no limit */
    _Atomic int64_t refused;     /* number of calls that failed with ENOSPC */
};

static struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("CHAOS_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED)
        control = memory;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = time->tv_sec * INT64_C(1000000000) + time->tv_nsec + control->offset_ns;
        time->tv_sec = ns / INT64_C(1000000000);
        time->tv_nsec = ns % INT64_C(1000000000);
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

/* Return the number of bytes that may be written, or -1 with ENOSPC. */
static ssize_t room(int file, size_t count) {
    struct stat status;
    if (!control || control->budget < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return (ssize_t)count;
    int64_t left = control->budget, taken;
    do { /* the program may give room again at any moment */
        if (left < 0)
            return (ssize_t)count;
        taken = left < (int64_t)count ? left : (int64_t)count;
    } while (!atomic_compare_exchange_weak(&control->budget, &left, left - taken));
    if (taken == 0 && count > 0) {
        control->refused++;
        errno = ENOSPC;
        return -1;
    }
    return (ssize_t)taken;
}

ssize_t pwrite(int file, const void *data, size_t count, off_t offset) {
    ssize_t fits = room(file, count);
    return fits < 0 ? -1 : syscall(SYS_pwrite64, file, data, (size_t)fits, offset);
}

ssize_t pwrite64(int file, const void *data, size_t count, off64_t offset) {
    return pwrite(file, data, count, offset);
}

int posix_fallocate(int file, off_t offset, off_t size) {
    ssize_t fits = room(file, (size_t)size);
    if (fits < (ssize_t)size)
        return ENOSPC;
    return syscall(SYS_fallocate, file, 0, offset, size) == 0 ? 0 : errno;
}
