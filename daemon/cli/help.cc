#include "cli/help.h"

#include "base/format.h"

namespace sluice::cli {

namespace {

std::string exit_codes() {
  constexpr size_t kWidth = 80;
  std::string text = "Exit codes:";
  size_t line = text.size();
  for (const ExitCodeRow& row : exit_code_rows()) {
    const bool is_last = &row == &exit_code_rows().back();
    const std::string item = fmt::format("{} {}{}", static_cast<int>(row.code), row.help, is_last ? '.' : ',');
    const bool fits = line + 1 + item.size() <= kWidth;
    text += fits ? ' ' : '\n';
    text += item;
    line = fits ? line + 1 + item.size() : item.size();
  }
  return text + '\n';
}

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
  return fmt::format("{}\n{}", text, exit_codes());
}

std::string command_help(Command command) {
  const CommandRow& row = command_rows()[static_cast<size_t>(command)];
  std::string text = fmt::format("{}.\n\nUsage: sluice {} [OPTION]...\n\nExample: {}\n\nOptions:\n", row.help,
                                 usage(row), row.example);
  for (const OptionRow& option : option_rows()) {
    if ((option.commands & bit(command)) != 0) text += option_line(option);
  }
  return fmt::format("{}\n{}", text, exit_codes());
}

}  // namespace sluice::cli
