// The command line as data: commands and options are rows (options.cc), from which the parser and `--help`
// (help.h) are made. To add an option, add a row and a member of Options.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/log.h"

namespace sluice::cli {

/// The process's exit codes; `sluice --help` lists them.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,              // it could not start, or failed while running
  kUsage = 2,               // the command line is wrong
  kConfigurationError = 3,  // the configuration has errors, or cannot be read
  kNoRoute = 4,             // explain: no route takes the request
};

struct ExitCodeRow {
  ExitCode code;
  std::string_view help;
};
std::span<const ExitCodeRow> exit_code_rows();

/// What the gateway does on a signal; for the manual.
struct SignalRow {
  std::string_view name;
  std::string_view help;
};
std::span<const SignalRow> signal_rows();

enum class Command : uint8_t { run, check, explain, routes, reload, diff, origin, version, kCount };

struct CommandRow {
  Command command;
  std::string_view name;
  std::string_view operands;  // "METHOD URL"; the command takes exactly as many
  std::string_view help;
  std::string_view example;
};
std::span<const CommandRow> command_rows();

struct Options {
  Command command = Command::kCount;  // kCount: none was named, which only --help may do
  bool help = false;
  std::vector<std::string> operands;
  std::string config;                                        // empty: the default places
  std::vector<std::pair<std::string, std::string>> headers;  // explain
  std::vector<std::pair<std::string, std::string>> claims;   // explain
  SocketAddress listen;                                      // origin
  std::optional<SocketAddress> admin;                        // reload, diff
  log::Level log_level = log::Level::info;                   // run
};

struct OptionRow {
  std::string_view name;      // "--config"
  std::string_view shorter;   // "-c"; empty: none
  std::string_view argument;  // "FILE"; empty: takes none
  unsigned commands;          // bit per Command that knows it
  std::string_view help;
  /// Returns what is wrong with the argument, or an empty text.
  std::string (*set)(Options& options, std::string_view argument);
};
std::span<const OptionRow> option_rows();

constexpr unsigned bit(Command command) { return 1u << static_cast<unsigned>(command); }

/// What the user asked for, or a sentence about what is wrong.
struct ParsedCommandLine {
  Options options;
  std::string error;  // empty: all is well
};
/// `arguments`: without the program's name. Options may stand before, between and after operands, as
/// "--config FILE" or
/// "--config=FILE"; "--" ends them.
ParsedCommandLine parse_command_line(std::span<const std::string_view> arguments);

}  // namespace sluice::cli
