/* To be preloaded into the gateway by tests of what takes a minute: its monotonic clock is ahead by the seconds in the file that
 * CLOCK_AHEAD names, as a number of eight bytes. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* ahead;

__attribute__((constructor)) static void begin(void) {
  const char* path = getenv("CLOCK_AHEAD");
  const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) ahead = mapped;
  close(fd);
}

int clock_gettime(clockid_t id, struct timespec* ts) {
  const long result = syscall(SYS_clock_gettime, id, ts);
  if (result == 0 && id == CLOCK_MONOTONIC && ahead != NULL) ts->tv_sec += *ahead;
  return (int)result;
}
