"""Questions over the tables of annual reports, answered by calling tools."""
