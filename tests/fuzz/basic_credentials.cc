// Authorization as a client sends it to basic-auth. The bytes are read as they are; and in base64, as who follows RFC 7617 sends them.
#include <cstring>
#include <string>
#include <string_view>

#include "basic-auth/credentials.h"
#include "check.h"

using namespace sluice;
using basic_auth::Credentials;

namespace {

std::string base64_of(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    unsigned bits = 0;
    for (size_t j = i; j < i + 3; ++j) bits = bits << 8 | (j < bytes.size() ? static_cast<uint8_t>(bytes[j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= bytes.size() - i ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

void check_parts(const Credentials& credentials) {
  const std::string_view all = credentials.all();
  const size_t colon = all.find(':');
  FUZZ_CHECK(colon != std::string_view::npos && credentials.user() == all.substr(0, colon));
  FUZZ_CHECK(std::strlen(credentials.password()) == all.size() - colon - 1);
  FUZZ_CHECK(all.substr(colon + 1) == credentials.password());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  Credentials raw;
  if (raw.parse(bytes)) {
    check_parts(raw);
    // One spelling only: what two readers decode differently is refused.
    FUZZ_CHECK(equals_ignoring_case(bytes.substr(0, 6), "basic ") && bytes.ends_with(" " + base64_of(raw.all())));
  }
  Credentials sent;
  const bool is_good = sent.parse("bAsIc   " + base64_of(bytes));
  const bool is_pair = bytes.find(':') != std::string::npos && bytes.find('\0') == std::string::npos;
  FUZZ_CHECK(is_good == (is_pair && bytes.size() < 1024));
  if (!is_good) return 0;
  FUZZ_CHECK(sent.all() == bytes);
  check_parts(sent);
  return 0;
}
