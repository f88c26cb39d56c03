#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugins/sdk.hpp"

namespace sluice::basic_auth {

struct User {
  std::string name;
  std::string hash;  // as crypt(3) writes it
};

struct Config {
  explicit Config(Setup& setup);

  /// nullptr if there is none of that name.
  [[nodiscard]] const User* find(std::string_view name) const;

  std::string realm = "restricted";
  std::string challenge;  // WWW-Authenticate
  std::string header;     // of requests to the upstream; empty: none
  bool forward_authorization = false;
  std::vector<User> users;
  std::unordered_map<std::string_view, uint32_t> by_name;

  uint32_t accepted = 0;  // counters
  uint32_t cached = 0;
  uint32_t missing = 0;
  uint32_t invalid = 0;
  uint32_t limited = 0;
  uint32_t busy = 0;
  uint32_t hash_time = 0;  // a histogram

 private:
  void read_header(const Node& node);
  void read_users(const Node& inline_users, const Node& file);
  void add(const Node& where, std::string_view name, std::string_view hash);
};

}  // namespace sluice::basic_auth
