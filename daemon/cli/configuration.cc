#include "cli/configuration.h"

#include <unistd.h>

#include <cstdio>

#include "base/format.h"
#include "proxy/access_log_format.h"

namespace sluice::cli {

std::string configuration_path(const Options& options) {
  if (!options.config.empty()) return options.config;
  constexpr const char* kSystemWide = "/etc/sluice/sluice.yaml";
  return ::access(kSystemWide, F_OK) == 0 ? kSystemWide : "config/sluice.yaml";
}

void print(const control::Diagnostic& diagnostic, control::Severity severity) {
  const std::string text = control::to_text(diagnostic, severity, ::isatty(STDERR_FILENO) == 1);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

namespace {
// The access log's fields are the proxy's, on a floor that control cannot see, so a template is checked here.
bool has_log_format(const snapshot::Snapshot& snapshot) {
  std::string error;
  if (proxy::LogFormat::compile(snapshot.access_log, error)) return true;
  print({.file = snapshot.access_log.source, .message = "access_log.format: " + error}, control::Severity::error);
  return false;
}
}  // namespace

control::CompileResult load_configuration(const Options& options) {
  const std::string path = configuration_path(options);
  control::CompileResult result = control::compile_file(path);
  for (const control::Diagnostic& error : result.errors) print(error, control::Severity::error);
  for (const control::Diagnostic& warning : result.warnings) print(warning, control::Severity::warning);
  if (result.snapshot != nullptr && has_log_format(*result.snapshot)) return result;
  fmt::print(stderr, "sluice: {} was not accepted\n", path);
  result.snapshot = nullptr;
  return result;
}

}  // namespace sluice::cli
