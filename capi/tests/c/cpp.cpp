// The header is C++ too, and its functions have the linkage of C.
#include <plugcache.h>

#include <cstring>

static int never(plugcache_build *, void *) { return 1; }

int main()
{
    plugcache_build_fn build = never;
    plugcache_toolchain *none = plugcache_toolchain_none();
    bool right = none != nullptr && std::strlen(plugcache_version()) > 0;
    right = right && plugcache_get_or_build(nullptr, nullptr, build, nullptr) == nullptr;
    right = right && plugcache_last_error_code() == PLUGCACHE_CODE_ARGUMENT;
    plugcache_toolchain_free(none);
    return right ? 0 : 1;
}
