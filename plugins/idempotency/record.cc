#include "idempotency/record.h"

#include <algorithm>

namespace sluice::idempotency {

namespace {

constexpr char kVersion = 1;
constexpr char kBodyKnown = 1;

class Writer {
 public:
  explicit Writer(char* at) : at_(at) {}
  void bytes(std::string_view text) { at_ = std::copy(text.begin(), text.end(), at_); }
  void byte(char value) { *at_++ = value; }
  template <size_t Bytes>
  void integer(uint64_t value) {
    for (size_t i = 0; i < Bytes; ++i) byte(static_cast<char>(value >> (8 * i)));
  }

 private:
  char* at_;
};

// Never past the end: what is missing is zero, and ok() false.
class Reader {
 public:
  explicit Reader(std::string_view rest) : rest_(rest) {}
  std::string_view bytes(size_t count) {
    ok_ = ok_ && count <= rest_.size();
    const std::string_view taken = rest_.substr(0, ok_ ? count : 0);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  char byte() {
    const std::string_view one = bytes(1);
    return one.empty() ? '\0' : one.front();
  }
  template <size_t Bytes>
  uint64_t integer() {
    const std::string_view from = bytes(Bytes);
    uint64_t value = 0;
    for (size_t i = 0; i < from.size(); ++i) value |= uint64_t{static_cast<uint8_t>(from[i])} << (8 * i);
    return value;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

Digest digest_of(std::string_view bytes) {
  Digest digest{};
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

bool is_state(char c) {
  switch (static_cast<State>(c)) {
    case State::claimed:
    case State::unknown:
    case State::done:
    case State::too_large: return true;
  }
  return false;
}

}  // namespace

void write_front(const Record& record, std::string& out) {
  if (out.size() < kRecordBytes) out.resize(kRecordBytes);
  Writer writer(out.data());
  writer.bytes({record.token.data(), record.token.size()});
  writer.byte(static_cast<char>(record.state));
  writer.integer<8>(static_cast<uint64_t>(record.deadline_ms));
  writer.byte(kVersion);
  writer.byte(record.body ? kBodyKnown : '\0');
  writer.bytes(as_text(record.head));
  writer.bytes(as_text(record.body.value_or(Digest{})));
  writer.integer<2>(record.status);
  writer.integer<4>(record.fields.size());
}

std::optional<Record> read_record(std::string_view value) {
  Reader reader(value);
  Record record;
  const std::string_view token = reader.bytes(kTokenBytes);
  std::copy(token.begin(), token.end(), record.token.begin());
  const char state = reader.byte();
  record.state = static_cast<State>(state);
  record.deadline_ms = static_cast<int64_t>(reader.integer<8>());
  const char version = reader.byte();
  const char flags = reader.byte();
  record.head = digest_of(reader.bytes(sizeof(Digest)));
  const Digest body = digest_of(reader.bytes(sizeof(Digest)));
  if ((flags & kBodyKnown) != 0) record.body = body;
  record.status = static_cast<uint16_t>(reader.integer<2>());
  record.fields = reader.bytes(reader.integer<4>());
  record.content = reader.rest();
  if (!reader.ok() || version != kVersion || !is_state(state)) return std::nullopt;
  if (record.state == State::done && (record.status < 200 || record.status > 599)) return std::nullopt;
  std::string_view fields = record.fields;
  std::string_view name;
  std::string_view text;
  while (take_field(fields, name, text)) {
  }
  if (!fields.empty()) return std::nullopt;
  return record;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  const size_t at = out.size();
  out.resize(at + 8 + name.size() + value.size());
  Writer writer(out.data() + at);
  writer.integer<4>(name.size());
  writer.integer<4>(value.size());
  writer.bytes(name);
  writer.bytes(value);
}

bool take_field(std::string_view& fields, std::string_view& name, std::string_view& value) {
  Reader reader(fields);
  const uint64_t name_bytes = reader.integer<4>();
  const uint64_t value_bytes = reader.integer<4>();
  name = reader.bytes(name_bytes);
  value = reader.bytes(value_bytes);
  if (!reader.ok()) return false;
  fields = reader.rest();
  return true;
}

}  // namespace sluice::idempotency
