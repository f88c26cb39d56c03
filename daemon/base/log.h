// The application log: what an operator reads. spdlog behind five functions, fmt's format strings.
// Any thread. Not for the request path: per-request lines go to the access log.
#pragma once

#include "base/format.h"

#include <string_view>
#include <utility>

namespace sluice::log {

enum class Level { debug, info, warn, error };

/// Messages below this level are dropped. Default: info.
void set_level(Level level);
void write(Level level, std::string_view message);
/// Writes out what is buffered; called before the process ends.
void flush();

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sluice::log
