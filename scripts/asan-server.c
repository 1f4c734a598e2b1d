/* What lets a server that knows nothing of the sanitizer run under it. Part of the library that scripts/fuzz-asan loads
   before everything else. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Valkey has modules look into themselves first, which the sanitizer refuses: it could not stand in for malloc there. */
void *___interceptor_dlopen(const char *file, int flags);

void *dlopen(const char *file, int flags) { return ___interceptor_dlopen(file, flags & ~RTLD_DEEPBIND); }

/* What servers call of jemalloc beside malloc and free, given by the sanitizer's allocator. All figures about the
   allocator are zero. */
#define MALLOCX_ZERO 0x40

void *mallocx(size_t size, int flags) { return flags & MALLOCX_ZERO ? calloc(1, size) : malloc(size); }

void *rallocx(void *block, size_t size, int flags) { (void)flags; return realloc(block, size); }

void dallocx(void *block, int flags) { (void)flags; free(block); }

void sdallocx(void *block, size_t size, int flags) { (void)size; (void)flags; free(block); }

static int nothing(void *old, size_t *length) {
  if (old && length) memset(old, 0, *length);
  return 0;
}

int mallctl(const char *name, void *old, size_t *length, void *new, size_t new_length) {
  (void)name; (void)new; (void)new_length;
  return nothing(old, length);
}

int mallctlnametomib(const char *name, size_t *mib, size_t *length) {
  (void)name;
  if (mib && length) memset(mib, 0, *length * sizeof *mib);
  return 0;
}

int mallctlbymib(const size_t *mib, size_t mib_length, void *old, size_t *length, void *new, size_t new_length) {
  (void)mib; (void)mib_length; (void)new; (void)new_length;
  return nothing(old, length);
}

void malloc_stats_print(void (*write)(void *, const char *), void *context, const char *options) {
  (void)write; (void)context; (void)options;
}
