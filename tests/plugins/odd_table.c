/* Modules whose tables are not what this gateway was built with; ODD says in what. */
#include "plugins/abi.h"

#if defined(ODD_later)
/* From a later release: the same version of the interface, with a longer table. */
struct later {
  struct sluice_plugin known;
  void (*on_something_new)(void);
};
SLUICE_EXPORT const struct later sluice_plugin = {
    .known = {.struct_size = sizeof(struct later), .abi_version = SLUICE_ABI_VERSION, .name = "later", .version = "9"}};
#elif defined(ODD_future)
SLUICE_EXPORT const struct sluice_plugin sluice_plugin = {.struct_size = sizeof(struct sluice_plugin),
                                                          .abi_version = SLUICE_ABI_VERSION + 1,
                                                          .name = "future",
                                                          .version = "1"};
#elif defined(ODD_short)
SLUICE_EXPORT const struct sluice_plugin sluice_plugin = {
    .struct_size = 24, .abi_version = SLUICE_ABI_VERSION, .name = "short", .version = "1"};
#elif defined(ODD_misnamed)
SLUICE_EXPORT const struct sluice_plugin sluice_plugin = {
    .struct_size = sizeof(struct sluice_plugin), .abi_version = SLUICE_ABI_VERSION, .name = "else", .version = "1"};
#else
SLUICE_EXPORT const int sluice_something_else = 1;
#endif
