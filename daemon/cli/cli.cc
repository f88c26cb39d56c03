#include "cli/cli.h"

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/format.h"
#include "base/log.h"
#include "cli/admin_client.h"
#include "cli/check.h"
#include "cli/configuration.h"
#include "cli/explain.h"
#include "cli/gateway.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/origin.h"
#include "cli/routes.h"

namespace sluice::cli {

namespace {

int run(const Options& options) {
  log::set_level(options.log_level);
  control::CompileResult first = load_configuration(options);
  if (first.snapshot == nullptr) return kConfigurationError;
  return Gateway(std::move(first), {.config_path = configuration_path(options), .version = SLUICE_VERSION}).run();
}

int origin(const Options& options) {
  OriginOptions settings;
  settings.listen = options.listen;
  return run_origin(settings);
}

int version(const Options&) {
  fmt::print("sluice {}\n", SLUICE_VERSION);
  return kOk;
}

int dispatch(const Options& options) {
  switch (options.command) {
    case Command::run: return run(options);
    case Command::check: return check(options);
    case Command::explain: return explain(options);
    case Command::routes: return routes(options);
    case Command::reload: return reload(options);
    case Command::diff: return diff(options);
    case Command::origin: return origin(options);
    case Command::version: return version(options);
    case Command::kCount: break;
  }
  return kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const ParsedCommandLine parsed = parse_command_line(arguments);
  if (!parsed.error.empty()) {
    if (arguments.empty()) {
      fmt::print(stderr, "{}", general_help());
    } else {
      fmt::print(stderr, "sluice: {}\nsluice --help shows all commands and options.\n", parsed.error);
    }
    return kUsage;
  }
  if (parsed.options.help) {
    const Command command = parsed.options.command;
    fmt::print("{}", command == Command::kCount ? general_help() : command_help(command));
    return kOk;
  }
  return dispatch(parsed.options);
}

}  // namespace sluice::cli
