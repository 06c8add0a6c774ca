/* header.c: includes nothing but the header, and includes the header twice. The test compiles this
 * file as C99, C11 and C17. */
#include <sprat.h>
#include <sprat.h>

int main(void)
{
    enum sprat_status status = SPRAT_OK;
    sprat_tag tag = { "key", "value" };
    sprat_event_cb none = 0;
    return status != SPRAT_OK || !tag.key || none || SPRAT_ABI != 0 ||
           sprat_version_number() != SPRAT_VERSION_NUMBER;
}
