#include "store/redis_protocol.h"

#include <hiredis/read.h>

#include <array>
#include <charconv>

#include "base/assert.h"
#include "base/strings.h"
#include "store/store.h"

namespace sluice::store {

namespace {
constexpr size_t kMaxReplyBytes = kMaxValueBytes + ReplyReader::kMaxLineBytes;
constexpr size_t kKeepBytes = size_t{64} << 10;
constexpr size_t kMaxNumberBytes = 32;  // of the length of a string

constexpr std::array<uint16_t, 256> crc16_table() {
  std::array<uint16_t, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    unsigned crc = i << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021u : 0u);
    table[i] = static_cast<uint16_t>(crc);
  }
  return table;
}
constexpr auto kCrc16 = crc16_table();
}  // namespace

void CommandWriter::number(char type, int64_t value) {
  char text[24];
  text[0] = type;
  char* end = std::to_chars(text + 1, text + sizeof text - 2, value).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out_.append(text, static_cast<size_t>(end - text));
}

CommandWriter& CommandWriter::operator<<(std::string_view argument) {
  number('$', static_cast<int64_t>(argument.size()));
  out_.append(argument);
  out_.append("\r\n", 2);
  return *this;
}

CommandWriter& CommandWriter::operator<<(int64_t argument) {
  char text[20];
  const char* end = std::to_chars(text, text + sizeof text, argument).ptr;
  return *this << std::string_view(text, static_cast<size_t>(end - text));
}

size_t Reply::after(size_t index) const {
  size_t open = 1;  // values still to be passed
  while (open > 0) {
    const Value& value = values_[index++];
    --open;
    if (value.type == Type::array) open += static_cast<size_t>(value.integer);
  }
  return index;
}

// What redisReader calls for each value. It wants an object back, and takes nullptr for "out of memory".
struct ReplyBuilder {
  static void* add(const redisReadTask* task, Reply::Type type, int64_t integer, std::string_view text) {
    auto& reader = *static_cast<ReplyReader*>(task->privdata);
    Reply& reply = reader.reply_;
    if (task->parent == nullptr) {
      reply.values_.clear();
      reply.text_.clear();
    }
    if (reply.values_.size() == ReplyReader::kMaxValues || text.size() > kMaxReplyBytes - reply.text_.size())
      return nullptr;
    reply.values_.push_back({type, integer, reply.text_.size(), text.size()});
    reply.text_.append(text);
    return &reader;
  }
  static void* string(const redisReadTask* task, char* text, size_t length) {
    const auto type = task->type == REDIS_REPLY_ERROR    ? Reply::Type::error
                      : task->type == REDIS_REPLY_STATUS ? Reply::Type::status
                                                         : Reply::Type::string;
    return add(task, type, 0, {text, length});
  }
  static void* array(const redisReadTask* task, int elements) { return add(task, Reply::Type::array, elements, {}); }
  static void* integer(const redisReadTask* task, long long value) {
    return add(task, Reply::Type::integer, value, {});
  }
  static void* nil(const redisReadTask* task) { return add(task, Reply::Type::nil, 0, {}); }
  static void free(void*) {}
};

ReplyReader::ReplyReader() { reset(); }

ReplyReader::~ReplyReader() { redisReaderFree(reader_); }

void ReplyReader::reset() {
  static redisReplyObjectFunctions functions = {ReplyBuilder::string, ReplyBuilder::array, ReplyBuilder::integer,
                                                ReplyBuilder::nil, ReplyBuilder::free};
  if (reader_ != nullptr) redisReaderFree(reader_);
  reader_ = redisReaderCreateWithFunctions(&functions);
  SL_ASSERT(reader_ != nullptr);
  reader_->privdata = this;
  broken_ = false;
}

void ReplyReader::feed(std::string_view bytes) {
  if (broken_) return;
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK) broken_ = true;
}

const Reply* ReplyReader::next() {
  if (broken_) return nullptr;
  if (reply_.text_.capacity() > kKeepBytes) reply_.text_ = {};
  if (reply_.values_.capacity() * sizeof(Reply::Value) > kKeepBytes) reply_.values_ = {};
  void* object = nullptr;
  if (redisReaderGetReply(reader_, &object) != REDIS_OK || (object == nullptr && overgrown())) {
    broken_ = true;
    return nullptr;
  }
  return object != nullptr ? &reply_ : nullptr;
}

// redisReader waits for the end of a line or a string however long it gets.
bool ReplyReader::overgrown() const {
  const std::string_view waiting(reader_->buf + reader_->pos, reader_->len - reader_->pos);
  if (waiting.size() > kMaxReplyBytes) return true;
  if (reader_->ridx < 0 || waiting.size() <= kMaxNumberBytes) return false;
  if (reader_->rstack[reader_->ridx].type != REDIS_REPLY_STRING) return waiting.size() > kMaxLineBytes;
  return waiting.substr(0, kMaxNumberBytes).find('\n') == std::string_view::npos;
}

uint16_t slot_of(std::string_view key) {
  if (const size_t open = key.find('{'); open != std::string_view::npos) {
    const size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  unsigned crc = 0;
  for (const char c : key) crc = (crc << 8 ^ kCrc16[(crc >> 8 ^ static_cast<unsigned char>(c)) & 0xff]) & 0xffff;
  return static_cast<uint16_t>(crc % kSlots);
}

std::optional<SocketAddress> parse_node(std::string_view host, int64_t port, const SocketAddress& asked) {
  if (port <= 0 || port > 65535) return {};
  std::optional<SocketAddress> address = host.empty() ? asked : SocketAddress::parse_ip(host);
  if (!address || (address->family() != AF_INET && address->family() != AF_INET6)) return {};
  return address->with_port(static_cast<uint16_t>(port));
}

std::optional<Redirection> parse_redirection(std::string_view error, const SocketAddress& asked) {
  Redirection result;
  result.ask = error.starts_with("ASK ");
  if (!result.ask && !error.starts_with("MOVED ")) return {};
  error.remove_prefix(result.ask ? 4 : 6);
  const size_t space = error.find(' ');
  const size_t colon = error.rfind(':');
  if (space == std::string_view::npos || colon == std::string_view::npos || colon < space) return {};
  const std::optional<uint64_t> slot = parse_u64(error.substr(0, space));
  const std::optional<uint64_t> port = parse_u64(error.substr(colon + 1));
  if (!slot || *slot >= kSlots || !port || *port > 65535) return {};
  const auto address = parse_node(error.substr(space + 1, colon - space - 1), static_cast<int64_t>(*port), asked);
  if (!address) return {};
  result.slot = static_cast<uint16_t>(*slot);
  result.address = *address;
  return result;
}

// [first, last, [host, port, id, ...], replicas ...] for each range.
std::optional<std::vector<SlotRange>> parse_slots(const Reply& reply, const SocketAddress& asked) {
  const auto& values = reply.values();
  if (reply.type() != Reply::Type::array) return {};
  std::vector<SlotRange> ranges;
  for (size_t at = 1; at < values.size(); at = reply.after(at)) {
    using Type = Reply::Type;
    if (values[at].type != Type::array || values[at].integer < 3) return {};
    const auto &first = values[at + 1], &last = values[at + 2], &node = values[at + 3];
    if (first.type != Type::integer || last.type != Type::integer || node.type != Type::array || node.integer < 2)
      return {};
    if (first.integer < 0 || last.integer >= kSlots || first.integer > last.integer) return {};
    const auto &host = values[at + 4], &port = values[at + 5];
    if ((host.type != Type::string && host.type != Type::nil) || port.type != Type::integer) return {};
    const auto master = parse_node(reply.text_of(host), port.integer, asked);
    if (!master) continue;
    ranges.push_back({static_cast<uint16_t>(first.integer), static_cast<uint16_t>(last.integer), *master});
  }
  return ranges;
}

}  // namespace sluice::store
