#include "proxy/access_log.h"

#include <catch2/catch.hpp>

#include <string>

#include "flat_json.h"

namespace sluice::proxy {
namespace {

using Format = snapshot::AccessLogSpec::Format;

LogFormat compiled(Format format, double sample = 1.0, std::string text = {}) {
  std::string error;
  snapshot::AccessLogSpec spec;
  spec.format = format;
  spec.sample = sample;
  spec.custom_text = std::move(text);
  auto result = LogFormat::compile(spec, error);
  INFO(error);
  REQUIRE(result);
  return *result;
}

std::string compile_error(const std::string& text) {
  std::string error;
  snapshot::AccessLogSpec spec;
  spec.format = Format::custom;
  spec.custom_text = text;
  REQUIRE_FALSE(LogFormat::compile(spec, error));
  return error;
}

// A log, its ring, and no writer.
struct Logged {
  explicit Logged(LogFormat format, size_t ring_bytes = LogRing::kDefaultBytes)
      : ring(bell, ring_bytes), log(std::move(format), ring) {}

  std::string write(const AccessRecord& record) {
    log.write(record);
    std::string lines(ring.readable());
    ring.release(lines.size());
    return lines;
  }

  LogBell bell;
  LogRing ring;
  AccessLog log;
};

AccessRecord example() {
  AccessRecord record;
  record.wall_start = Micros(1'714'566'896'007'999);  // 2024-05-01T12:34:56.007999Z
  record.request_id = "0123456789abcdef";
  record.client = "192.0.2.7:40312";
  record.method = "GET";
  record.host = "api.example.com";
  record.target = "/users/7?full=1";
  record.route = "user-by-id";
  record.endpoint = "127.0.0.1:9001";
  record.user_agent = "curl/7.88.1";
  record.referer = "https://example.com/a";
  record.protocol = "HTTP/1.1";
  record.tls = "TLSv1.3";
  record.status = 200;
  record.bytes_in = 412;
  record.bytes_out = 18446744073709551615u;
  record.attempts = 1;
  record.upstream_reused = true;
  record.read_head = 9;
  record.wait_connection = 10;
  record.upstream_first_byte = 999;
  record.response = 1000;
  record.total = 123456;
  return record;
}

TEST_CASE("A JSON line holds every field of the record, in the table's order") {
  CHECK(
      Logged(compiled(Format::json)).write(example()) ==
      R"({"time":"2024-05-01T12:34:56.007Z","request_id":"0123456789abcdef","client":"192.0.2.7:40312",)"
      R"("method":"GET","host":"api.example.com","path":"/users/7?full=1","protocol":"HTTP/1.1","tls":"TLSv1.3","status":200,)"
      R"("reason":"none","detail":"","route":"user-by-id","endpoint":"127.0.0.1:9001","attempts":1,"upstream_reused":true,)"
      R"("connection_reused":false,"bytes_in":412,"bytes_out":18446744073709551615,"read_head_us":9,)"
      R"("wait_connection_us":10,"upstream_first_byte_us":999,"response_us":1000,"total_us":123456,"plugins":"",)"
      R"("user_agent":"curl/7.88.1","referer":"https://example.com/a"})"
      "\n");
}

TEST_CASE("A combined line is Apache's") {
  Logged logged(compiled(Format::combined));
  AccessRecord record = example();
  record.bytes_out = 2326;
  CHECK(logged.write(record) ==
        "192.0.2.7 - - [01/May/2024:12:34:56 +0000] \"GET /users/7?full=1 HTTP/1.1\" 200 2326 "
        "\"https://example.com/a\" \"curl/7.88.1\"\n");

  record.client = "[2001:db8::1]:40312";
  record.target = "/\"\\\n\x7f\xe9";
  record.referer = record.user_agent = "";
  CHECK(logged.write(record) ==
        "2001:db8::1 - - [01/May/2024:12:34:56 +0000] \"GET /\\x22\\x5C\\x0A\\x7F\\xE9 HTTP/1.1\" 200 2326 "
        "\"-\" \"-\"\n");
}

TEST_CASE("A template names fields in braces; doubled braces are literal") {
  CHECK(Logged(compiled(Format::custom, 1, "{{{status}}} {reason}\t{route}{route} {total_us}us {upstream_reused}"))
            .write(example()) == "{200} none\tuser-by-iduser-by-id 123456us true\n");
}

TEST_CASE("Every field can be named in a template") {
#define SL_ROW(name, ...) CHECK_FALSE(Logged(compiled(Format::custom, 1, "{" #name "}")).write(example()).empty());
  SL_LOG_FIELDS(SL_ROW)
  SL_LOG_TEMPLATE_FIELDS(SL_ROW)
#undef SL_ROW
}

TEST_CASE("A wrong template is refused with the offset and what was probably meant") {
  const struct {
    const char* text;
    const char* error;
  } rows[] = {
      {"", "the template is empty"},
      {"a {statis}", "unknown field {statis} at offset 2; did you mean {status}?"},
      {"{}", "unknown field {} at offset 0. Fields are: time"},
      {"{x-forwarded-for}", "unknown field {x-forwarded-for} at offset 0. Fields are: time request_id"},
      {"{status", "'{' at offset 0 is not closed; write '{{' for a literal brace"},
      {"ab}", "'}' without '{' at offset 2; write '}}' for a literal brace"},
      {"{status}\n", "control character at offset 8; each line ends by itself"},
  };
  for (const auto& row : rows) {
    INFO(row.text);
    CHECK_THAT(compile_error(row.text), Catch::StartsWith(row.error));
  }
}

TEST_CASE("A line is valid JSON and one line, whatever bytes a client sends") {
  Logged logged(compiled(Format::json));
  // Every byte value at the front, in the middle and at the end of texts on both sides of each piece's
  // length.
  for (int byte = 0; byte < 256; ++byte) {
    for (const size_t size : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100}) {
      for (const size_t at : {size_t{0}, size / 2, size - 1}) {
        std::string text(size, 'a');
        text[at] = static_cast<char>(byte);
        AccessRecord record = example();
        record.target = record.user_agent = record.host = text;
        const std::string line = logged.write(record);
        const auto fields = FlatJson::parse(std::string_view(line).substr(0, line.size() - 1));
        if (byte >= 0x80) text.replace(at, 1, "\xef\xbf\xbd");
        if (!fields || fields->at("path") != text || fields->at("user_agent") != text || fields->at("host") != text ||
            line.back() != '\n') {
          FAIL("byte " << byte << " at " << at << " of " << size << ": " << line);
        }
      }
    }
  }
}

TEST_CASE("Valid UTF-8 stays readable in JSON; what is not becomes U+FFFD") {
  Logged logged(compiled(Format::json));
  AccessRecord record = example();
  record.user_agent = "sixteen bytes.. Grüße, 世界 \xf0\x9f\xa6\x8a";
  record.referer = "cut \xe4\xb8";
  const std::string line = logged.write(record);
  const auto fields = FlatJson::parse(std::string_view(line).substr(0, line.size() - 1));
  REQUIRE(fields);
  CHECK(fields->at("user_agent") == record.user_agent);
  CHECK(fields->at("referer") == "cut \xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("Numbers of every length are exact") {
  std::string digits;
  for (const char c : std::string_view("12345678901234567890")) {
    digits += c;
    char out[kMaxNumberBytes + kTextSlack];
    const uint64_t value = std::stoull(digits);
    CHECK(std::string(out, write_number(out, value)) == digits);
    CHECK(std::string(out, write_number(out, value / 100 * 100)) == std::to_string(value / 100 * 100));
  }
  char out[kMaxNumberBytes + kTextSlack];
  CHECK(std::string(out, write_number(out, 0)) == "0");
  CHECK(std::string(out, write_number(out, UINT64_MAX)) == "18446744073709551615");
}

TEST_CASE("Texts of a monstrous request are cut, and its line is still whole") {
  Logged logged(compiled(Format::json));
  const std::string monster(100'000, '\x01');
  AccessRecord record = example();
  record.target = record.user_agent = record.referer = record.host = monster;
  const std::string line = logged.write(record);
  const auto fields = FlatJson::parse(std::string_view(line).substr(0, line.size() - 1));
  REQUIRE(fields);
  CHECK(fields->at("path") == monster.substr(0, AccessLog::kMaxTextBytes / 13));
  CHECK(fields->at("total_us") == "123456");
}

TEST_CASE("No line is longer than its bound, whatever the format repeats") {
  const std::string hostile(2000, '\x02');
  AccessRecord record;
  record.client = hostile;
  record.wall_start = Micros(1);
  record.total = record.response = UINT64_MAX;
  record.reason = Reason::upstream_head_too_large;
  for (const char* text : {"{client}", "{client}{client_ip}", "{client}{client}{client}{client_ip}",
                           "{time}{time}{time_clf}{reason}{reason}{total_us}{response_us}{upstream_reused}"}) {
    const LogFormat format = compiled(Format::custom, 1, text);
    CHECK(Logged(format).write(record).size() + kTextSlack <= format.line_bound(hostile.size()));
  }
  const LogFormat json = compiled(Format::json);
  CHECK(Logged(json).write(record).size() + kTextSlack <= json.line_bound(hostile.size()));
}

TEST_CASE("The sample picks its share of successes, and every server error") {
  const auto lines = [](double sample, uint16_t status) {
    Logged logged(compiled(Format::custom, sample, "x"));
    AccessRecord record;
    record.status = status;
    size_t count = 0;
    for (int i = 0; i < 10'000; ++i) count += logged.write(record).size() / 2;
    return count;
  };
  CHECK(lines(1.0, 200) == 10'000);
  CHECK(lines(0.0, 200) == 0);
  CHECK(lines(0.0, 499) == 0);
  CHECK(lines(0.0, 500) == 10'000);
  const size_t quarter = lines(0.25, 200);  // the same in each run: the generator has a fixed seed
  CHECK(quarter > 2'350);
  CHECK(quarter < 2'650);
}

TEST_CASE("A log that is off writes nothing") {
  Logged logged(compiled(Format::off));
  AccessRecord record;
  record.status = 503;
  CHECK(logged.write(record).empty());
  CHECK_FALSE(logged.log.enabled());
}

TEST_CASE("A line that finds the ring full is dropped and counted; the lines before it stay whole") {
  Logged logged(compiled(Format::json), 4096);
  for (int i = 0; i < 100; ++i) logged.log.write(example());
  const std::string lines(logged.ring.readable());
  const auto whole = static_cast<size_t>(std::count(lines.begin(), lines.end(), '\n'));
  CHECK(whole > 0);
  CHECK(logged.ring.dropped() == 100 - whole);
  CHECK(lines.back() == '\n');
}

}  // namespace
}  // namespace sluice::proxy
