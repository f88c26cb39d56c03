// A file of users as htpasswd writes it, or as somebody else does.
#include <algorithm>
#include <string>
#include <string_view>

#include "basic-auth/basic-auth_config.h"
#include "check.h"
#include "common/header_syntax.h"
#include "file_setup.h"

using namespace sluice;

namespace {

// What stands behind a hash and another colon says nothing.
std::string with_more(const std::string& content) {
  std::string text;
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    std::string line = content.substr(at, end - at);
    at = end + 1;
    const bool has_return = line.ends_with('\r');
    if (has_return) line.pop_back();
    text += line + (line.empty() ? "" : ":19000:0") + (has_return ? "\r" : "") + (end < content.size() ? "\n" : "");
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string content(reinterpret_cast<const char*>(data), size);
  FileSetup raw("passwords_file", content);
  Setup setup(&raw);
  const basic_auth::Config config(setup);

  // Each line is a user, a comment, or a mistake.
  size_t lines = 0;
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    const std::string_view line = std::string_view(content).substr(at, end - at);
    lines += !line.empty() && line != "\r" && line.front() != '#';
    at = end + 1;
  }
  FUZZ_CHECK(lines == config.users.size() + raw.errors - (config.users.empty() ? 1 : 0));

  FUZZ_CHECK(config.by_name.size() == config.users.size());
  for (const basic_auth::User& user : config.users) {
    FUZZ_CHECK(config.find(user.name) == &user);
    FUZZ_CHECK(!user.name.empty() && is_field_value(user.name) && user.name.find(':') == std::string::npos);
    FUZZ_CHECK(user.hash.starts_with('$') && user.hash.find(':') == std::string::npos);
    FUZZ_CHECK(content.find(user.name + ":" + user.hash) != std::string::npos);
  }
  FUZZ_CHECK(config.find("") == nullptr);

  const std::string longer = with_more(content);
  FileSetup raw_longer("passwords_file", longer);
  Setup setup_longer(&raw_longer);
  FUZZ_CHECK(basic_auth::Config(setup_longer).users.size() == config.users.size());
  return 0;
}
