// What the plugin idempotency reads of others: the key, which a client chose, and the value, which a store has. The first byte says
// which of the two the rest is.
#include <array>
#include <string>
#include <string_view>

#include "check.h"
#include "idempotency/key.h"
#include "idempotency/record.h"

using namespace sluice::idempotency;

namespace {

void check_key(std::string_view value) {
  std::array<char, kMaxKeyBytes> memory;
  const auto key = parse_key(value, memory);
  if (!key) return;
  FUZZ_CHECK(!key->empty() && key->size() <= kMaxKeyBytes);
  std::string quoted = "\"";
  for (const char c : *key) {
    FUZZ_CHECK(c >= 0x20 && c <= 0x7e);
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  std::array<char, kMaxKeyBytes> other;
  const auto again = parse_key(quoted + '"', other);
  FUZZ_CHECK(again && *again == *key);
}

void check_record(std::string_view value) {
  const auto record = read_record(value);
  if (!record) return;
  FUZZ_CHECK(kRecordBytes + record->fields.size() + record->content.size() == value.size());
  std::string_view fields = record->fields;
  std::string copy(kRecordBytes, '\0');
  std::string_view name;
  std::string_view text;
  while (take_field(fields, name, text)) append_field(copy, name, text);
  FUZZ_CHECK(fields.empty());
  copy.append(record->content);
  write_front(*record, copy);
  const auto again = read_record(copy);
  FUZZ_CHECK(again && again->token == record->token && again->state == record->state &&
             again->deadline_ms == record->deadline_ms && again->head == record->head && again->body == record->body &&
             again->status == record->status && again->fields == record->fields && again->content == record->content);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string own(reinterpret_cast<const char*>(data) + 1,
                        size - 1);  // memory of its own: a byte too many is noticed
  data[0] % 2 == 0 ? check_key(own) : check_record(own);
  return 0;
}
