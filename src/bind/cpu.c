/* How many CPUs this process may use: those of its affinity mask, and no more
** than the quotas of its control groups and all groups above them allow. */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "process.h"

static int affinity(void) {
  for (int cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpus);
    if (set == NULL) return 1;
    size_t size = CPU_ALLOC_SIZE((size_t)cpus);
    int n = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (n > 0) return n;
  }
  return 1;
}

/* A file with one or two numbers; -1 for what is not one ("max"). */
static bool read_numbers(const char *group, const char *name, long long v[2]) {
  char path[PATH_MAX], text[64] = "";
  v[0] = v[1] = -1;
  if ((size_t)snprintf(path, sizeof path, "%s/%s", group, name) >= sizeof path)
    return false;
  FILE *f = fopen(path, "re");
  if (f == NULL) return false;
  bool got = fgets(text, sizeof text, f) != NULL;
  fclose(f);
  if (strncmp(text, "max", 3) == 0) return got;
  return got && sscanf(text, "%lld %lld", &v[0], &v[1]) >= 1;
}

/* The quota of one group in CPUs, rounded up; INT_MAX: none. */
static int group_quota(const char *group) {
  long long v[2], period[2];
  if (!read_numbers(group, "cpu.max", v)) {
    if (!read_numbers(group, "cpu.cfs_quota_us", v) ||
        !read_numbers(group, "cpu.cfs_period_us", period))
      return INT_MAX;
    v[1] = period[0];
  }
  if (v[0] <= 0 || v[1] <= 0) return INT_MAX;
  long long n = (v[0] + v[1] - 1) / v[1];
  return n < INT_MAX ? (int)n : INT_MAX;
}

/* The least quota on the way from a group up to the root of its hierarchy. */
static int least_quota(const char *root, const char *group) {
  char path[PATH_MAX];
  size_t stem = strlen(root);
  if ((size_t)snprintf(path, sizeof path, "%s%s", root, group) >= sizeof path)
    return INT_MAX;
  int least = INT_MAX;
  for (;;) {
    int n = group_quota(path);
    if (n < least) least = n;
    char *slash = strrchr(path + stem, '/');
    if (slash == NULL) return least;
    *slash = 0;
  }
}

/* A line of /proc/self/cgroup is "number:controllers:path"; version 2 has no
** controllers there. */
static int line_quota(char *line) {
  char *controllers = strchr(line, ':');
  char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
  if (path == NULL) return INT_MAX;
  *path++ = 0;
  controllers++;
  path[strcspn(path, "\n")] = 0;
  if (*controllers == 0) return least_quota("/sys/fs/cgroup", path);
  char list[64];
  snprintf(list, sizeof list, ",%.60s,", controllers);
  if (strstr(list, ",cpu,") == NULL) return INT_MAX;
  return least_quota("/sys/fs/cgroup/cpu", path);
}

static int quota(void) {
  char line[PATH_MAX];
  int least = INT_MAX;
  FILE *f = fopen("/proc/self/cgroup", "re");
  if (f == NULL) return least;
  while (fgets(line, sizeof line, f) != NULL) {
    int n = line_quota(line);
    if (n < least) least = n;
  }
  fclose(f);
  return least;
}

int cr_cpu_count(void) {
  int cpus = affinity(), limit = quota();
  if (limit < cpus) cpus = limit;
  return cpus > 0 ? cpus : 1;
}
