#include "stats/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include "base/clock.h"

namespace sluice::stats {

namespace {

uint64_t resident_bytes() {
  FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long size = 0;
  unsigned long long resident = 0;
  const bool read = std::fscanf(file, "%llu %llu", &size, &resident) == 2;
  std::fclose(file);
  return read ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

uint64_t open_descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  return entries - 3;  // ".", ".." and the directory itself
}

uint64_t descriptor_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

uint64_t cpu_micros() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) { return static_cast<uint64_t>(time.tv_sec * 1'000'000 + time.tv_usec); };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

}  // namespace

ProcessFigures::ProcessFigures(Registry& registry, std::string_view version)
    : shard_(registry.control()),
      cpu_(registry.intern(Family::process_cpu)),
      open_fds_(registry.intern(Family::process_open_fds)),
      max_fds_(registry.intern(Family::process_max_fds)),
      resident_(registry.intern(Family::process_resident)) {
  shard_.set(registry.intern(Family::build_info, {version}), 1);
  shard_.set(registry.intern(Family::process_start_time), static_cast<uint64_t>(wall_now().count()));
  refresh();
}

void ProcessFigures::refresh() {
  shard_.set(cpu_, cpu_micros());
  shard_.set(open_fds_, open_descriptors());
  shard_.set(max_fds_, descriptor_limit());
  shard_.set(resident_, resident_bytes());
}

}  // namespace sluice::stats
