// Any bytes as a configuration: compile_text must end, with a snapshot or with errors, in bounded time and
// memory; and what
// `/config` shows of an accepted one must be a configuration again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/compile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::control;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const CompileResult result = compile_text(text, "fuzz.yaml");
  if ((result.snapshot == nullptr) == result.errors.empty()) std::abort();
  for (const Diagnostic& error : result.errors) {
    if (to_text(error, Severity::error, true).empty()) std::abort();
  }
  return 0;
}
