// The sluice_setup of a configuration that names one file, whose content is the input.
#pragma once

#include <string_view>

#include "plugins/sdk.hpp"

struct FileSetup : sluice_setup {
  FileSetup(std::string_view at_key, std::string_view of_file) : sluice_setup{}, file_key(at_key), content(of_file) {
    struct_size = sizeof(sluice_setup);
    root = node_of(this->root_node);
    kind = [](sluice_setup* self, const sluice_node* node) -> sluice_node_kind {
      return node == self->root ? SLUICE_NODE_MAP : SLUICE_NODE_SCALAR;
    };
    child = [](sluice_setup* self, const sluice_node* node, sluice_str name) -> const sluice_node* {
      const bool is_file = node == self->root && sluice::to_view(name) == own(self).file_key;
      return is_file ? node_of(own(self).file_node) : nullptr;
    };
    file = [](sluice_setup* self, const sluice_node*, sluice_str* out) {
      *out = sluice::to_abi(own(self).content);
      return 1;
    };
    counter = [](sluice_setup*, sluice_str) { return 0u; };
    histogram = counter;
    error = [](sluice_setup* self, const sluice_node*, sluice_str) { ++own(self).errors; };
  }

  size_t errors = 0;

 private:
  static FileSetup& own(sluice_setup* self) { return *static_cast<FileSetup*>(self); }
  static const sluice_node* node_of(const char& any) { return reinterpret_cast<const sluice_node*>(&any); }

  const std::string_view file_key;
  const std::string_view content;
  const char root_node = 0;
  const char file_node = 0;
};
