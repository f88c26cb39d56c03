// Targets and paths. The normal form of a normal form is itself; it is never longer, holds no dot segment,
// and no escape of a byte that need not be escaped.
#include <string>
#include <vector>

#include "check.h"
#include "http/bytes.h"
#include "http/uri.h"

using namespace sluice;

namespace {

void check_segments(std::string_view path) {
  FUZZ_CHECK(path.starts_with('/'));
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view segment = path.substr(at + 1, end - at - 1);
    FUZZ_CHECK(segment != "." && segment != "..");
    at = end;
  }
}

void check_escapes(std::string_view path, bool allow_encoded_slash) {
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1)) {
    FUZZ_CHECK(at + 2 < path.size());
    const int byte = http::hex_value(path[at + 1]) * 16 + http::hex_value(path[at + 2]);
    FUZZ_CHECK(byte > 0 && byte < 256);
    FUZZ_CHECK(!http::is_byte(static_cast<char>(byte), http::byte_class::kPlain));
    FUZZ_CHECK(allow_encoded_slash || (byte != '/' && byte != '\\'));
  }
}

void check_path(std::string_view path, bool allow_encoded_slash) {
  std::vector<char> scratch(path.size());
  const auto normal = http::normalise_path(path, scratch, allow_encoded_slash);
  if (!normal || *normal == "*") return;
  FUZZ_CHECK(normal->size() <= path.size());
  FUZZ_CHECK((*normal == path) == (normal->data() == path.data()));
  check_segments(*normal);
  check_escapes(*normal, allow_encoded_slash);
  std::vector<char> again(normal->size());
  const auto twice = http::normalise_path(*normal, again, allow_encoded_slash);
  FUZZ_CHECK(twice && *twice == *normal);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_path(text, false);
  check_path(text, true);
  for (const http::Method method : {http::Method::GET, http::Method::OPTIONS}) {
    const auto target = http::parse_target(text, method);
    if (!target) continue;
    FUZZ_CHECK(target->authority.empty() || http::is_valid_authority(target->authority));
    FUZZ_CHECK(target->asterisk == (target->path == "*"));
    check_path(target->path, false);
    std::string_view value;
    if (http::find_query_parameter(target->query, text.substr(0, 3), value)) {
      FUZZ_CHECK(value.data() >= text.data() && value.data() + value.size() <= text.data() + text.size());
    }
    (void)http::host_of(target->authority);
  }
  return 0;
}
