#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/sha256.h"
#include "plugins/sdk.hpp"

namespace sluice::api_key {

/// Whose key it is, by SHA-256 of the key; keys themselves are not kept. The table is ordered by digests of those digests that are
/// mixed with a secret of the instance: how long a look-up takes tells nothing about the keys that there are.
class KeyTable {
 public:
  /// False if the key is there already.
  bool add(const Digest& key, std::string_view consumer);
  /// As add(), and find(): `sha256` is of the thread that asks.
  [[nodiscard]] const std::string* find(const Sha256& sha256, std::string_view key) const;
  [[nodiscard]] bool empty() const { return consumers_.empty(); }

 private:
  struct Spread {
    size_t operator()(const Digest& digest) const {
      size_t value;
      std::memcpy(&value, digest.data(), sizeof(value));
      return value;
    }
  };
  struct Equal {
    bool operator()(const Digest& a, const Digest& b) const { return equal_in_constant_time(as_text(a), as_text(b)); }
  };

  Digest secret_ = random_digest();
  std::unordered_map<Digest, std::string, Spread, Equal> consumers_;
};

struct Config {
  explicit Config(Setup& setup);

  KeyTable keys;
  std::string header = "X-API-Key";  // empty: not looked at; so are the next two
  std::string query;
  std::string scheme;
  std::string challenge;  // WWW-Authenticate
  std::string consumer_header;
  bool forward_key = false;

  uint32_t accepted = 0;  // counters
  uint32_t missing = 0;
  uint32_t invalid = 0;

 private:
  void read_inline(const Node& keys);
  void read_file(const Node& file);
  void add(const Node& where, std::string_view consumer, const std::optional<Digest>& key);
};

}  // namespace sluice::api_key
