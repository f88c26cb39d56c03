// HostTable: from a request's host to the path trees that serve it, most specific first: the exact name, then the
// wildcards
// "*.example.com" from the longest to the shortest (one label or more before the suffix, never none), then any host.
// Which trees follow which is known when the table is built, so a look-up is one hash probe for an exact name and one
// per label for a wildcard; what follows are links. Built once, immutable, allocates nothing in find().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::snapshot {

/// As the table keeps it: lower case, without a trailing dot.
std::string canonical_host(std::string_view host);

class HostTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  /// RFC 1035 §2.3.4 allows 253; a longer host is only served by routes for any host.
  static constexpr size_t kMaxHostBytes = 255;

  struct Host {
    std::string text;       // "api.example.com", "*.example.com", or empty for any
    uint32_t root = 0;      // of the host's path tree
    uint32_t next = kNone;  // the next less specific host, if this one's tree has no match
  };

  /// `hosts` as MatchSpec writes them, each once; `next` is computed here.
  void build(std::vector<Host> hosts);

  /// The most specific host that takes `host` (any case, trailing dot ignored), or kNone. Go on with operator[] and
  /// next.
  [[nodiscard]] uint32_t find(std::string_view host) const;
  [[nodiscard]] const Host& operator[](uint32_t index) const { return hosts_[index]; }
  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(hosts_.size()); }
  [[nodiscard]] size_t memory_bytes() const;

 private:
  struct Slot {
    uint32_t tag = 0;  // high half of the hash
    uint32_t host = kNone;
  };
  // The key of an exact host is its name, that of a wildcard its suffix with the leading dot.
  [[nodiscard]] uint32_t probe(std::string_view key) const;
  [[nodiscard]] uint32_t longest_wildcard(std::string_view host) const;
  void insert(uint32_t index);
  static std::string_view key_of(const Host& host);

  std::vector<Host> hosts_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  uint32_t any_ = kNone;
  bool has_wildcards_ = false;
};

}  // namespace sluice::snapshot
