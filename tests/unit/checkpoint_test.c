/* SPDX-License-Identifier: MIT */
#include "lib/move/checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/move/pagemap.h"
#include "tests/unit/tap.h"

#define ID "0123456789abcdef0123456789abcdef"
#define SERVICE "{\"id\":\"00112233445566aa\",\"name\":\"web\",\"argv\":[\"/bin/true\"]}"

static char top[] = "/tmp/checkpoint_test.XXXXXX";
static struct err e;

static struct json *parse(const char *text)
{
	return json_parse(text, strlen(text), &e);
}

static int from(struct checkpoint **ck, const char *text)
{
	AUTO_JSON struct json *j = parse(text);

	e = (struct err){ 0 };
	return j ? checkpoint_from_json(ck, j, &e) : -2;
}

static bool refused(const char *text)
{
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;

	return from(&ck, text) == -1 && !ck && e.code == EX_DATAERR;
}

static void put_image(const struct checkpoint *ck, const char *name, const char *text)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", ck->dir, name);
	file_write(path, text, strlen(text), 0600, &e);
}

static void test_json(void)
{
	AUTO_CHECKPOINT struct checkpoint *ck = NULL, *again = NULL;
	struct stat st;

	is_int(from(&ck, "{\"checkpoint\":\"" ID "\",\"from\":\"edge1\",\"tcp_close\":true,\"held\":true,"
			 "\"facts\":{\"arch\":\"x\"},\"service\":" SERVICE "}"), 0, "a checkpoint from its JSON");
	if (!ck)
		return;
	ok(!strcmp(ck->id, ID) && !strcmp(ck->from, "edge1") && ck->tcp_close && ck->held &&
		   !strcmp(ck->service->name, "web") && !strcmp(json_str(ck->facts, "arch"), "x"),
	   "... has all that it says");
	ok(!stat(ck->dir, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0700, "... and a folder for root alone");
	is_int(checkpoint_load(&again, ID, &e), -1, "one that was not saved cannot be loaded");
	is_str(e.text, "checkpoint " ID ": not on this node", "... which is said");
	is_int(e.code, EX_UNAVAILABLE, "... as unavailable");
	put_image(ck, "inventory.img", "x");
	is_int(checkpoint_save(ck, &e) || checkpoint_load(&again, ID, &e), 0, "saved and loaded");
	if (!again)
		return;
	AUTO_JSON struct json *a = json_object(), *b = json_object();
	checkpoint_to_json(ck, a);
	checkpoint_to_json(again, b);
	ok(json_bool(b, "seal", false), "where it is sent, it is to stay");
	json_remove(b, "seal");
	AUTO_FREE char *one = json_text(a), *two = json_text(b);
	is_str(two, one, "... it is the same");
	is_str(json_str(again->facts, "arch"), "x", "... with its facts");
	is_int(checkpoint_remove(ck, &e), 0, "it is removed");
	ok(stat(ck->dir, &st) != 0, "... with its folder");
}

static void test_refused(void)
{
	ok(refused("{\"from\":\"a\",\"service\":" SERVICE "}"), "no id");
	ok(refused("{\"checkpoint\":\"../../../../../../../../../../../x\",\"from\":\"a\",\"service\":" SERVICE "}"),
	   "an id that is a path");
	ok(refused("{\"checkpoint\":\"0123456789ABCDEF0123456789ABCDEF\",\"from\":\"a\",\"service\":" SERVICE "}"),
	   "an id with capitals");
	ok(refused("{\"checkpoint\":\"" ID "0\",\"from\":\"a\",\"service\":" SERVICE "}"), "an id that is too long");
	ok(refused("{\"checkpoint\":7,\"from\":\"a\",\"service\":" SERVICE "}"), "an id that is a number");
	ok(refused("{\"checkpoint\":\"" ID "\",\"service\":" SERVICE "}"), "no source");
	ok(refused("{\"checkpoint\":\"" ID "\",\"from\":\"a\"}"), "no service");
	ok(refused("{\"checkpoint\":\"" ID "\",\"from\":\"a\",\"service\":[]}"), "a service that is no object");
	ok(refused("{\"checkpoint\":\"" ID "\",\"from\":\"a\",\"service\":{\"name\":\"web\"}}"), "a service without an id");
	is_str(e.text, "service web: it has no id", "... is named");
	ok(refused("{\"checkpoint\":\"" ID "\",\"from\":\"a\",\"service\":{\"name\":\"../x\"}}"), "a name that is a path");
	ok(access(file_path("/var/lib/edge/checkpoints/" ID), F_OK) != 0, "nothing is made for any of them");
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;
	is_int(checkpoint_load(&ck, "../x", &e), -1, "a path cannot be loaded");
	is_int(e.code, EX_DATAERR, "... as bad input");
}

static void test_new(void)
{
	AUTO_CHECKPOINT struct checkpoint *a = NULL, *b = NULL;
	AUTO_SERVICE struct service *s = NULL;
	AUTO_JSON struct json *spec = parse(SERVICE);

	is_int(service_from_json(&s, spec, &e), 0, "a service");
	is_int(checkpoint_new(&a, s, false, &e) | checkpoint_new(&b, s, true, &e), 0, "two new checkpoints of it");
	ok(strlen(a->id) == 32 && strspn(a->id, "0123456789abcdef") == 32 && strcmp(a->id, b->id), "... have ids of their own");
	ok(!strcmp(a->service->id, "00112233445566aa") && a->service != s && b->tcp_close && !a->tcp_close,
	   "... and the service's definition");
	ok(!access(a->dir, F_OK) && !access(b->dir, F_OK), "... and folders");
	checkpoint_remove(a, &e);
	checkpoint_remove(b, &e);
}

static void test_damage(void)
{
	AUTO_CHECKPOINT struct checkpoint *ck = NULL, *again = NULL;
	char path[PATH_MAX + 32];

	from(&ck, "{\"checkpoint\":\"" ID "\",\"from\":\"edge1\",\"service\":" SERVICE "}");
	put_image(ck, "inventory.img", "x");
	put_image(ck, "core-1.img", "one");
	checkpoint_save(ck, &e);
	is_int(checkpoint_load(&again, ID, &e), 0, "a whole one is loaded");
	checkpoint_free(TAKE_PTR(again));
	put_image(ck, "core-1.img", "two");
	is_int(checkpoint_load(&again, ID, &e), -1, "one with a changed image is refused");
	is_str(e.text, "checkpoint " ID ": core-1.img: damaged", "... by its name");
	snprintf(path, sizeof(path), "%s/core-1.img", ck->dir);
	unlink(path);
	is_int(checkpoint_load(&again, ID, &e), -1, "one without an image is refused");
	is_str(e.text, "checkpoint " ID ": core-1.img: missing", "... by its name");
	snprintf(path, sizeof(path), "%s/checkpoint.json", ck->dir);
	truncate(path, 20);
	is_int(checkpoint_load(&again, ID, &e), -1, "a shortened one is refused");
	ok(e.code == EX_DATAERR && !strncmp(e.text, "checkpoint " ID ": ", 45), "... by its id, as bad input");
	const char other[] = "{\"checkpoint\":\"1123456789abcdef0123456789abcdef\",\"from\":\"a\",\"service\":" SERVICE "}";
	file_write(path, other, sizeof(other) - 1, 0600, &e);
	is_int(checkpoint_load(&again, ID, &e), -1, "another one in its folder is refused");
	is_str(e.text, "checkpoint " ID ": its folder holds another one", "... which is said");
	checkpoint_remove(ck, &e);
}

static int complete(const struct checkpoint *ck, struct image *im)
{
	e = (struct err){ 0 };
	return checkpoint_complete(ck, im, &e);
}

static void test_complete(void)
{
	struct pagemap_entry entry[2] = { { 0x1000, 1, PAGES_IN_PARENT }, { 0x3000, 2, PAGES_IN_PARENT } };
	const struct pagemap pm = { .pages_id = 1, .entry = entry, .n = 2 };
	static const uint8_t page[PAGE_BYTES] = { 1 };
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;
	AUTO_IMAGE struct image *im = NULL;
	char map[PATH_MAX + 32], inventory[PATH_MAX + 32];
	struct digest d;

	from(&ck, "{\"checkpoint\":\"" ID "\",\"from\":\"edge1\",\"service\":" SERVICE "}");
	image_open(&im, file_path("/image"), &e);
	snprintf(map, sizeof(map), "%s/pagemap-5.img", ck->dir);
	snprintf(inventory, sizeof(inventory), "%s/inventory.img", ck->dir);
	is_int(complete(ck, im), -1, "an empty folder is not whole");
	ok(e.code == EX_DATAERR && strstr(e.text, "checkpoint " ID ": "), "... which is said");
	file_write(inventory, "x", 1, 0600, &e);
	is_int(complete(ck, im), 0, "one without memory is");
	pagemap_write(&pm, map, &e);
	is_int(complete(ck, im), -1, "one whose pages are not in the image is not");
	is_str(e.text, "checkpoint " ID ": pagemap-5.img: page 0x1000 is missing", "... by the first that is missing");
	image_cover(im, &(struct image_window){ 5, 0 }, 1, &e);
	digest_of(page, sizeof(page), &d);
	image_put(im, 5, 0x1000, &d, page, &e);
	image_put(im, 5, 0x3000, &d, page, &e);
	is_int(complete(ck, im), -1, "... also in the middle of a run");
	is_str(e.text, "checkpoint " ID ": pagemap-5.img: page 0x4000 is missing", "... by its address");
	image_put(im, 5, 0x4000, NULL, NULL, &e);
	is_int(complete(ck, im), 0, "with all pages it is whole");
	ok(image_used(im, 5, 0x1000, 1) && image_used(im, 5, 0x4000, 1) && !image_used(im, 5, 0x2000, 1), "... and these are used");
	entry[0].pages = UINT64_MAX;
	pagemap_write(&pm, map, &e);
	is_int(complete(ck, im), -1, "more pages than there are");
	entry[0] = (struct pagemap_entry){ 0x1000, 1, PAGES_PRESENT };
	pagemap_write(&pm, map, &e);
	is_int(complete(ck, im), -1, "pages that lie elsewhere");
	is_str(e.text, "checkpoint " ID ": pagemap-5.img: pages that are not in the memory image", "... which is said");
	truncate(map, 15);
	is_int(complete(ck, im), -1, "a shortened pagemap");
	ok(e.code == EX_DATAERR && strstr(e.text, "not a pagemap of CRIU"), "... is bad input");
	checkpoint_remove(ck, &e);
}

static void test_folders(void)
{
	AUTO_SERVICE struct service *s = NULL;
	AUTO_CHECKPOINT struct checkpoint *ck = NULL;
	struct files f[CHECKPOINT_FOLDERS], copy[CHECKPOINT_FOLDERS];
	char spec[PATH_MAX], text[8] = "";
	int n;

	snprintf(spec, sizeof(spec), "{\"id\":\"00112233445566aa\",\"name\":\"web\",\"argv\":[\"/bin/true\"],"
				     "\"volumes\":[{\"host\":\"%s/vol\",\"path\":\"/data\"}]}", top);
	AUTO_JSON struct json *j = parse(spec);
	service_from_json(&s, j, &e);
	checkpoint_new(&ck, s, false, &e);
	is_int(checkpoint_folders(s, f, &e), -1, "folders that are not there");
	ok(strstr(e.text, "services/web/upper: No such file") != NULL, "... are named");
	file_mkdirs(service_dir(s, "upper"), 0755, &e);
	is_int(checkpoint_folders(s, f, &e), -1, "... also a volume");
	ok(strstr(e.text, "/vol: No such file") != NULL, "... is named");
	file_mkdirs(file_path("/vol"), 0755, &e);
	file_write(file_path("/vol/a"), "one", 3, 0644, &e);
	is_int(n = checkpoint_folders(s, f, &e), 2, "the folders that travel");
	ok(!strcmp(f[0].what, "service web") && !strcmp(f[1].what, "volume /data"), "... have names for people");
	if (geteuid()) {
		skip("copies of them", "needs root");
	} else {
		int rc = 0;
		for (int i = 0; i < n; i++)
			rc |= checkpoint_copy_folder(ck, &f[i], NULL, 0, false, &e);
		is_int(rc, 0, "they are copied");
		file_write(file_path("/vol/a"), "two", 3, 0644, &e);
		is_int(checkpoint_copied_folders(ck, copy, &e), 2, "... and opened");
		AUTO_FD int fd = openat(copy[1].root, "a", O_RDONLY | O_CLOEXEC);
		is_str(fd >= 0 && read(fd, text, 3) == 3 ? text : NULL, "one", "... as they were");
		for (int i = 0; i < n; i++)
			files_clear(&copy[i]);
	}
	for (int i = 0; i < n; i++)
		files_clear(&f[i]);
	checkpoint_remove(ck, &e);
}

int main(void)
{
	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	test_json();
	test_refused();
	test_new();
	test_damage();
	test_complete();
	test_folders();
	file_remove_tree(top, NULL);
	return done();
}
