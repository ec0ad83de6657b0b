// Curves that can be zoomed and read off, by Bokeh.

// Both can be read on light and on dark paper, so that nothing is drawn anew for either.
const INK = "#7a828d", LINE = "rgba(128, 136, 148, 0.3)";

const drawBokeh = (figure, several) => {
  const { Plotting } = Bokeh;
  let range = null;
  const plots = several.map((panel, place) => {
    const plot = Plotting.figure({
      height: place === several.length - 1 ? 190 : 165, sizing_mode: "stretch_width",
      tools: "xpan,xwheel_zoom,box_zoom,reset,save", toolbar_location: place ? null : "above",
      y_axis_label: panel.title, x_axis_label: place === several.length - 1 ? "step" : null,
      background_fill_color: null, border_fill_color: null, outline_line_color: null,
      ...(range ? { x_range: range } : {}),
    });
    range = plot.x_range;
    plot.toolbar.logo = null;
    for (const axis of [...plot.xaxes, ...plot.yaxes])
      Object.assign(axis, {
        axis_label_text_color: INK, major_label_text_color: INK, axis_line_color: LINE, major_tick_line_color: LINE,
        minor_tick_line_color: null, axis_label_text_font_style: "normal", axis_label_text_font_size: "12px",
      });
    for (const grid of plot.center) if ("grid_line_color" in grid) grid.grid_line_color = LINE;
    for (const each of panel.bands)
      plot.varea({
        x: { field: "x" }, y1: { field: "low" }, y2: { field: "high" }, fill_color: each.colour, fill_alpha: 0.18,
        source: new Bokeh.ColumnDataSource({ data: { x: each.xs, low: each.low, high: each.high } }),
      });
    const drawn = panel.lines.map((each) =>
      plot.line({
        x: { field: "x" }, y: { field: "y" }, line_color: each.colour, line_width: 1.6,
        source: new Bokeh.ColumnDataSource({ data: { x: each.xs, y: each.ys, name: each.xs.map(() => each.name) } }),
      }));
    plot.add_tools(new Bokeh.HoverTool({
      renderers: drawn, mode: "mouse", line_policy: "nearest",
      tooltips: [["", "@name"], ["step", "@x{0,0}"], [panel.title, "@y{0.0000}"]],
    }));
    return plot;
  });
  Plotting.show(new Bokeh.Column({ children: plots, sizing_mode: "stretch_width" }), figure);
};
