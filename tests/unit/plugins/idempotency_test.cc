#include <array>
#include <catch2/catch.hpp>
#include <string>

#include "idempotency/fingerprint.h"
#include "idempotency/key.h"
#include "idempotency/record.h"

using namespace sluice;
using namespace sluice::idempotency;

namespace {

std::string key_of(std::string_view value) {
  std::array<char, kMaxKeyBytes> memory;
  const auto key = parse_key(value, memory);
  return key ? std::string(*key) : "(none)";
}

Record some_record() {
  Record record;
  record.token.fill('t');
  record.state = State::done;
  record.deadline_ms = 1'763'802'000'123;
  record.head.fill(1);
  record.body = Digest{};
  record.status = 201;
  return record;
}

std::string value_of(Record record, std::string_view name, std::string_view text, std::string_view content) {
  std::string value(kRecordBytes, '\0');
  append_field(value, name, text);
  record.fields = std::string_view(value).substr(kRecordBytes);
  const std::string fields(record.fields);
  record.fields = fields;
  write_front(record, value);
  return value.append(content);
}

}  // namespace

TEST_CASE("a key is a quoted string or bare") {
  CHECK(key_of("\"abc\"") == "abc");
  CHECK(key_of("abc") == "abc");
  CHECK(key_of(R"("a\"b\\c")") == R"(a"b\c)");
  CHECK(key_of("\" a,b;c \"") == " a,b;c ");
  CHECK(key_of("8e03978e-40d5-43dd-bc93-6894a57f9324") == "8e03978e-40d5-43dd-bc93-6894a57f9324");
  CHECK(key_of(std::string(255, 'a')) == std::string(255, 'a'));
  CHECK(key_of('"' + std::string(255, 'a') + '"') == std::string(255, 'a'));
}

TEST_CASE("anything else is no key") {
  for (const std::string value :
       {"",    "\"\"", "\"",       "\"abc",   "abc\"", "\"a\"b\"", "\"a\" ", "\"a\";q=1", "a;q",      "a,b",
        "a b", "a\\b", R"("a\b")", R"("a\")", "a\tb",  "\"a\tb\"", "a\x7f",  "\"\x7f\"",  "\xc3\xa9", "\"\xc3\xa9\""}) {
    INFO(value);
    CHECK(key_of(value) == "(none)");
  }
  CHECK(key_of(std::string(256, 'a')) == "(none)");
  CHECK(key_of('"' + std::string(256, 'a') + '"') == "(none)");
}

TEST_CASE("a record is read as it was written") {
  const std::string value = value_of(some_record(), "Content-Type", "text/plain", "the body");
  const auto record = read_record(value);
  REQUIRE(record);
  CHECK(record->token == some_record().token);
  CHECK(record->state == State::done);
  CHECK(record->deadline_ms == 1'763'802'000'123);
  CHECK(record->head == some_record().head);
  CHECK(record->body == Digest{});
  CHECK(record->status == 201);
  CHECK(record->content == "the body");
  std::string_view fields = record->fields;
  std::string_view name;
  std::string_view text;
  REQUIRE(take_field(fields, name, text));
  CHECK(name == "Content-Type");
  CHECK(text == "text/plain");
  CHECK_FALSE(take_field(fields, name, text));
}

TEST_CASE("what the store compares stands at the front of a record") {
  Record record = some_record();
  std::string claimed;
  record.state = State::claimed;
  write_front(record, claimed);
  std::string renewed;
  record.deadline_ms += 1;
  write_front(record, renewed);
  CHECK(claimed.substr(0, kTokenBytes) == std::string(16, 't'));
  CHECK(claimed.substr(0, kTokenAndStateBytes) == renewed.substr(0, kTokenAndStateBytes));
  CHECK(claimed.substr(0, kReadBytes) != renewed.substr(0, kReadBytes));
  CHECK(claimed[kTokenBytes] == 'c');
}

TEST_CASE("a request whose body did not all come has no digest of it") {
  Record record = some_record();
  record.body.reset();
  CHECK_FALSE(read_record(value_of(record, "a", "b", ""))->body);
}

TEST_CASE("no part of a record is taken for one, and no other version") {
  const std::string value = value_of(some_record(), "Content-Type", "text/plain", "");
  for (size_t length = 0; length < value.size(); ++length) {
    INFO(length);
    CHECK_FALSE(read_record(value.substr(0, length)));
  }
  std::string other = value;
  other[kReadBytes] = 2;
  CHECK_FALSE(read_record(other));
  other = value;
  other[kTokenBytes] = 'x';
  CHECK_FALSE(read_record(other));
  other = value;
  other[kRecordBytes] = '\x7f';  // a name longer than all there is
  CHECK_FALSE(read_record(other));
}

TEST_CASE("a result has a status that can be sent") {
  Record record = some_record();
  record.status = 600;
  CHECK_FALSE(read_record(value_of(record, "a", "b", "")));
  record.state = State::too_large;
  CHECK(read_record(value_of(record, "a", "b", "")));
}

TEST_CASE("lists of parts that join to the same text have other digests") {
  const Sha256 sha256;
  const Digest a = PartsDigest(sha256).add("ab").add("c").finish();
  CHECK(a == PartsDigest(sha256).add("ab").add("c").finish());
  CHECK(a != PartsDigest(sha256).add("a").add("bc").finish());
  CHECK(a != PartsDigest(sha256).add("abc").finish());
  CHECK(a != PartsDigest(sha256).add("ab").add("c").add("").finish());
}

TEST_CASE("a digest made bit by bit is that of the whole") {
  const Sha256 sha256;
  sha256.begin();
  sha256.add("ab");
  sha256.add("");
  sha256.add("c");
  const Digest made = sha256.finish();
  CHECK(made == sha256({"abc"}));
  CHECK(sha256({"abc"}) == parse_digest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}
