// AccessLog: writes one line per exchange into its worker's LogRing. One per worker, used by its thread only;
// a reload that changes the format makes a new one on the same ring. No system call, no allocation, no wait:
// if the ring is full, the line is dropped and counted there.
#pragma once

#include <utility>

#include "proxy/access_log_format.h"
#include "proxy/access_log_line.h"
#include "proxy/log_ring.h"

namespace sluice::proxy {

class AccessLog {
 public:
  /// Texts of a record past this many bytes in all are cut: no line may take much of the ring.
  static constexpr size_t kMaxTextBytes = 24 * 1024;

  /// `seed` decides which requests a sample picks; give each worker another one.
  AccessLog(LogFormat format, LogRing& ring, uint64_t seed = 1)
      : format_(std::move(format)), ring_(&ring), random_(seed) {}

  [[nodiscard]] bool enabled() const { return format_.kind() != LogFormat::Kind::off; }
  /// Its lines show this field.
  [[nodiscard]] bool names(LogField field) const { return format_.names(field); }
  /// Writes the line, unless the format is off or the sample leaves it out. Status >= 500 is always logged.
  /// True if a line was handed to the writer.
  bool write(const AccessRecord& record);
  /// See LogRing::sweep.
  void sweep() { ring_->sweep(); }

 private:
  bool write_line(const AccessRecord& record, size_t text_bytes);
  [[nodiscard]] bool sampled();

  LogFormat format_;
  LogRing* ring_;
  uint64_t random_;
  AccessLogLine line_;
};

}  // namespace sluice::proxy
