#include "control/environment.h"

#include <cstdlib>

#include "base/format.h"
#include "base/strings.h"

namespace sluice::control {

namespace {

bool is_name(std::string_view text) {
  if (text.empty() || is_digit(text.front())) return false;
  for (const char c : text) {
    const char lower = to_lower(c);
    if (!(lower >= 'a' && lower <= 'z') && !is_digit(c) && c != '_') return false;
  }
  return true;
}

// `inside` is what stands between "${" and "}".
void append_value(std::string_view inside, Substitution& result) {
  const size_t dash = inside.find(":-");
  const std::string name(inside.substr(0, dash));
  if (!is_name(name)) {
    result.error = fmt::format(
        "\"${{{}}}\" is not an environment variable; write ${{NAME}} or ${{NAME:-default}}, or $${{ for "
        "a literal ${{",
        inside);
    return;
  }
  const char* value = std::getenv(name.c_str());
  if (dash != std::string_view::npos) {
    result.text += value != nullptr && *value != '\0' ? std::string_view(value) : inside.substr(dash + 2);
  } else if (value != nullptr) {
    result.text += value;
  } else {
    result.error =
        fmt::format("the environment variable {0} is not set; ${{{0}:-default}} would give it a default", name);
  }
}

}  // namespace

Substitution substitute_environment(std::string_view text) {
  Substitution result;
  while (result.error.empty()) {
    const size_t at = text.find("${");
    if (at == std::string_view::npos) break;
    result.changed = true;
    if (at > 0 && text[at - 1] == '$') {  // "$${": drop the first dollar sign
      result.text += text.substr(0, at - 1);
      result.text += "${";
      text.remove_prefix(at + 2);
      continue;
    }
    result.text += text.substr(0, at);
    const size_t end = text.find('}', at);
    if (end == std::string_view::npos) {
      result.error = "\"${\" has no closing brace; write $${ for a literal ${";
      break;
    }
    append_value(text.substr(at + 2, end - at - 2), result);
    text.remove_prefix(end + 1);
  }
  result.text += text;
  return result;
}

}  // namespace sluice::control
