from tests.widgets.test_layers import Strips
from widgets.tabs import PaneTabs


async def test_the_current_tab_is_marked_and_a_click_picks_another() -> None:
    app = Strips()
    async with app.run_test(size=(80, 5)) as pilot:
        tabs = app.query_one(PaneTabs)
        tabs.current = 1
        assert tabs.render().plain == "  Causes  ▸Pods   界   tab: next"
        for x in (0, 8, 9, 15, 16, 20):
            await pilot.click(PaneTabs, offset=(x, 0))
        assert app.picked == [0, 0, 1, 1, 2, 2]
        await pilot.click(PaneTabs, offset=(21, 0))
        assert len(app.picked) == 6
