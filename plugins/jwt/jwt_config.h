#pragma once

#include <array>
#include <list>
#include <string>
#include <vector>

#include "jwt/remote_keys.h"
#include "jwt/verifier.h"
#include "plugins/sdk.hpp"

namespace sluice::jwt {

enum class Place : uint8_t { authorization, header, cookie, query };

struct Config {
  explicit Config(Setup& setup);

  Keys keys;  // those that do not change
  std::vector<RemoteRules> remotes;
  TokenRules rules;
  Place place = Place::authorization;
  std::string place_name;  // of the header, cookie or parameter
  bool required = true;
  bool forward = true;
  std::chrono::milliseconds wait{2'000};
  uint64_t cache_bytes = 16 * 1024 * 1024;
  std::chrono::milliseconds cache_time{300'000};
  std::array<std::string, static_cast<size_t>(Refusal::count)> challenges;  // WWW-Authenticate

  // counters
  std::array<uint32_t, static_cast<size_t>(Refusal::count)> refused{};
  uint32_t accepted = 0;
  uint32_t cached = 0;
  uint32_t anonymous = 0;
  uint32_t unavailable = 0;
  RemoteCounters remote_counters;
  uint32_t verify_time = 0;  // a histogram

 private:
  void read_sources(Setup& setup);
  void read_source(const Node& source, const std::optional<AlgorithmSet>& algorithms);
  void read_remote(const Node& source, const KeyRules& key_rules);
  void add(const Node& where, VerifyKey key, const KeyRules& key_rules);
  void read_place(Setup& setup);
  void read_claims(Setup& setup);
  void write_challenges(Setup& setup);
};

}  // namespace sluice::jwt
