// AccessLogLine turns a record into one line of a format. Split from AccessLog, which knows where lines go.
// One per worker.
#pragma once

#include "proxy/access_log_format.h"
#include "proxy/access_log_text.h"

namespace sluice::proxy {

class AccessLogLine {
 public:
  /// Writes the line with its newline to `out`, which holds format.line_bound() bytes, and returns its end.
  char* write(char* out, const LogFormat& format, const AccessRecord& record);

 private:
  LogTime time_;
};

}  // namespace sluice::proxy
