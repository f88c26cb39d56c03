// What Redis speaks, as pure functions and values: commands to bytes (RESP2), bytes to replies (hiredis's redisReader, with
// objects of our own that are allocated once), the slot of a key in a cluster, and where a redirection leads. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"

struct redisReader;

namespace sluice::store {

/// Appends one command to `out`: the constructor writes the head, then each argument is added, exactly `arguments` of them.
class CommandWriter {
 public:
  CommandWriter(std::string& out, size_t arguments) : out_(out) { number('*', static_cast<int64_t>(arguments)); }
  CommandWriter& operator<<(std::string_view argument);
  CommandWriter& operator<<(int64_t argument);

 private:
  void number(char type, int64_t value);
  std::string& out_;
};

/// One reply: its values in the order in which they came, an array before its elements.
class Reply {
 public:
  enum class Type : uint8_t { status, error, integer, nil, string, array };
  struct Value {
    Type type = Type::nil;
    int64_t integer = 0;  // array: the number of its elements
    size_t begin = 0;     // of the text, for status, error and string
    size_t length = 0;
  };

  [[nodiscard]] Type type() const { return values_.front().type; }
  [[nodiscard]] bool is_error() const { return type() == Type::error; }
  [[nodiscard]] std::string_view text() const { return text_of(values_.front()); }
  [[nodiscard]] int64_t integer() const { return values_.front().integer; }
  /// All values; never empty.
  [[nodiscard]] const std::vector<Value>& values() const { return values_; }
  [[nodiscard]] std::string_view text_of(const Value& value) const {
    return std::string_view(text_).substr(value.begin, value.length);
  }
  /// The index of the value that follows the one at `index` with all its elements.
  [[nodiscard]] size_t after(size_t index) const;

 private:
  friend class ReplyReader;
  friend struct ReplyBuilder;
  std::vector<Value> values_;
  std::string text_;
};

/// Bytes in, replies out. Memory is bounded, kept from reply to reply and given back after a large one.
class ReplyReader {
 public:
  static constexpr size_t kMaxLineBytes = size_t{64} << 10;  // of an error, a status or a number
  static constexpr size_t kMaxValues = size_t{1} << 18;      // of one reply: a slot map of 16,384 ranges fits

  ReplyReader();
  ~ReplyReader();
  ReplyReader(const ReplyReader&) = delete;
  ReplyReader& operator=(const ReplyReader&) = delete;

  void feed(std::string_view bytes);
  /// The next whole reply, valid until the next call; nullptr: none yet, or broken().
  const Reply* next();
  /// What came is no RESP2, or more than is allowed. Nothing more is read until reset().
  [[nodiscard]] bool broken() const { return broken_; }
  void reset();

 private:
  friend struct ReplyBuilder;
  [[nodiscard]] bool overgrown() const;

  redisReader* reader_ = nullptr;
  Reply reply_;
  bool broken_ = false;
};

constexpr uint16_t kSlots = 16384;
/// The slot of a key in a Redis cluster: CRC16 (XMODEM) of the key, or of what stands between its first '{' and the next
/// '}' if that is not empty (Redis Cluster specification, "Key distribution model").
[[nodiscard]] uint16_t slot_of(std::string_view key);

/// "MOVED 3999 127.0.0.1:6381" and "ASK ...".
struct Redirection {
  bool ask = false;
  uint16_t slot = 0;
  SocketAddress address;
};
/// Nothing if `error` is no redirection, or a malformed one. An empty host means the one that was asked.
[[nodiscard]] std::optional<Redirection> parse_redirection(std::string_view error, const SocketAddress& asked);
/// An address as Redis writes it: no brackets around IPv6. `host` may be empty, see above. Nothing if it is a name.
[[nodiscard]] std::optional<SocketAddress> parse_node(std::string_view host, int64_t port, const SocketAddress& asked);

/// Which server has which slots.
struct SlotRange {
  uint16_t first = 0;
  uint16_t last = 0;
  SocketAddress master;
};
/// The reply to CLUSTER SLOTS; nothing if it is none. Ranges whose master has no address that is known are left out.
[[nodiscard]] std::optional<std::vector<SlotRange>> parse_slots(const Reply& reply, const SocketAddress& asked);

}  // namespace sluice::store
