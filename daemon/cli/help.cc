#include "cli/help.h"

#include "base/format.h"

namespace sluice::cli {

namespace {

constexpr std::string_view kExitCodes =
    "Exit codes: 0 all is well, 1 it failed, 2 the command line is wrong,\n"
    "3 the configuration has errors, 4 explain: no route takes the request.\n";

std::string usage(const CommandRow& row) {
  return fmt::format("{}{}{}", row.name, row.operands.empty() ? "" : " ", row.operands);
}

std::string option_line(const OptionRow& row) {
  const std::string names =
      row.shorter.empty() ? fmt::format("    {}", row.name) : fmt::format("{}, {}", row.shorter, row.name);
  return fmt::format("  {:<29}{}\n", fmt::format("{} {}", names, row.argument), row.help);
}

}  // namespace

std::string general_help() {
  std::string text = "Sluice, a reverse proxy and API gateway. Usage: sluice COMMAND [OPTION]...\n\n";
  for (const CommandRow& row : command_rows()) {
    text += fmt::format("  {:<22}{}\n  {:<22}  {}\n", usage(row), row.help, "", row.example);
  }
  text += "\nOptions, where a command knows them:\n";
  for (const OptionRow& row : option_rows()) text += option_line(row);
  return fmt::format("{}\n{}", text, kExitCodes);
}

std::string command_help(Command command) {
  const CommandRow& row = command_rows()[static_cast<size_t>(command)];
  std::string text = fmt::format("{}.\n\nUsage: sluice {} [OPTION]...\n\nExample: {}\n\nOptions:\n", row.help,
                                 usage(row), row.example);
  for (const OptionRow& option : option_rows()) {
    if ((option.commands & bit(command)) != 0) text += option_line(option);
  }
  return fmt::format("{}\n{}", text, kExitCodes);
}

}  // namespace sluice::cli
