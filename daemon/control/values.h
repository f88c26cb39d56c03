// How durations, sizes and shares are written in a configuration, both ways: text to value and value to text.
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace sluice::control {

/// "250ms", "5s", "1m30s", "2h"; units in falling order, each at most once; a bare "0". Nothing for anything
/// else.
std::optional<Millis> parse_duration(std::string_view text);
std::string format_duration(Millis duration);

/// "512", "512B", "64KiB", "10MiB", "2GiB" to bytes. Nothing for anything else, "10MB" included.
std::optional<uint64_t> parse_size(std::string_view text);
std::string format_size(uint64_t bytes);

/// "20%" or a fraction such as "0.2"; from 0 to 100 %.
std::optional<double> parse_share(std::string_view text);
std::string format_share(double share);

/// "users.internal:80": a name that DNS can know (RFC 1123 §2.1, and `_`) in lower case, and a port from 1. Nothing for
/// anything else, addresses and what looks like a misspelt one included.
struct HostAndPort {
  std::string host;
  uint16_t port = 0;
};
std::optional<HostAndPort> parse_host_and_port(std::string_view text);

bool is_printable(std::string_view text);
/// "an address", "a size".
std::string with_article(std::string_view noun);
/// At most 60 bytes of `text` for an error message, control characters as "?".
std::string shortened(std::string_view text);

/// Finds what `word` is probably a misspelling of: the nearest candidate by edits (insert, delete, replace,
/// swap of neighbours), at most a third of its letters away. `word` must outlive it.
class Suggestion {
 public:
  explicit Suggestion(std::string_view word) : word_(word) {}
  void consider(std::string_view candidate);
  /// "", or "; did you mean \"x\"?".
  [[nodiscard]] std::string text() const;
  /// The nearest candidate; empty if none is near.
  [[nodiscard]] const std::string& best() const { return best_; }

 private:
  std::string_view word_;
  std::string best_;
  size_t best_distance_ = ~size_t{0};
};

}  // namespace sluice::control
