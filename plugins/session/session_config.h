#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "plugins/sdk.hpp"

namespace sluice::session {

/// Generations (record.h) stay for as long, one for each subject; so it is not longer.
constexpr std::chrono::milliseconds kLongestAbsolute = std::chrono::hours(24) * 90;

enum class OnMissing : uint8_t { anonymous, reject, redirect };

struct Config {
  explicit Config(Setup& setup);

  std::string cookie = "__Host-session";
  std::string attributes;  // of Set-Cookie, with their semicolons
  std::string max_age;     // also of Set-Cookie, for a cookie that holds an id
  std::string prefix;      // of keys in the store
  std::chrono::milliseconds idle = std::chrono::minutes(30);
  std::chrono::milliseconds absolute = std::chrono::hours(12);
  std::chrono::milliseconds rotate_grace = std::chrono::seconds(10);

  OnMissing on_missing = OnMissing::anonymous;
  std::string redirect_front;  // of Location, up to where the request's target goes
  std::string redirect_back;
  bool redirect_has_url = false;

  std::string header_prefix = "X-Session-";
  std::string subject_header;  // to the upstream
  std::string data_header;
  uint64_t max_data = 4096;
  bool forward_cookie = false;
  bool outlive_client = false;
  bool open_on_store_error = false;
  uint32_t store = SLUICE_NONE;

  uint32_t found = 0;  // counters
  uint32_t missing = 0;
  uint32_t forged = 0;
  uint32_t expired = 0;
  uint32_t grace = 0;
  uint32_t created = 0;
  uint32_t changed = 0;
  uint32_t rotated = 0;
  uint32_t destroyed = 0;
  uint32_t logged_out = 0;
  uint32_t lost = 0;
  uint32_t store_errors = 0;

 private:
  void read_cookie(const Setup& setup);
  void read_on_missing(const Node& node);
  void read_redirect(const Node& node);
};

}  // namespace sluice::session
